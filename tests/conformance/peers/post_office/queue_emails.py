"""Queues as many emails as the first argument says, each to an address of its own, as an application would."""

import sys

import django

django.setup()

from post_office import mail  # noqa: E402

for number in range(1, int(sys.argv[1]) + 1):
    mail.send(
        f"customer-{number}@customer.example",
        "Shop <orders@shop.example>",
        subject="Your receipt",
        message="Thank you.",
    )

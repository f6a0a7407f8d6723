"""`sam delete` for an S3 that is not Amazon's: takes its arguments, without `delete`.

`sam deploy` uploads the templates of nested stacks to wherever AWS_ENDPOINT_URL says and names them by that address;
`sam delete` then takes only https://s3… for an address in S3, and gives up.
"""

import os
import sys

from samcli.cli.main import cli
from samcli.lib.package import packageable_resources
from samcli.lib.utils.s3 import parse_s3_url


def parse_here(url, *arguments, **named):
    """The same for an address of this S3, which is ENDPOINT/BUCKET/KEY."""
    endpoint = os.environ["AWS_ENDPOINT_URL"] + "/"
    if url.startswith(endpoint):
        url = "s3://" + url.removeprefix(endpoint)
    return parse_s3_url(url, *arguments, **named)


packageable_resources.parse_s3_url = parse_here
sys.argv = ["sam", "delete", *sys.argv[1:]]
cli()

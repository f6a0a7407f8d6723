"""A Django project of which only django-post_office is of interest, with that package's defaults."""

import os

import pymysql
from botocore.config import Config

# A driver that needs no compiler. Django takes it for mysqlclient.
pymysql.install_as_MySQLdb()

SECRET_KEY = "nothing is signed"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["DATABASE_PORT"],
        "NAME": os.environ["DATABASE_NAME"],
        "USER": os.environ["DATABASE_USER"],
        "PASSWORD": os.environ["DATABASE_PASSWORD"],
        # As everybody connects who takes part: what is held on the way is counted in plain text.
        "OPTIONS": {"ssl_disabled": True},
    }
}

EMAIL_BACKEND = "post_office.EmailBackend"
POST_OFFICE = {"BACKENDS": {"default": "django_ses.SESBackend"}}

USE_SES_V2 = True
AWS_SES_REGION_NAME = "eu-west-1"
AWS_SES_REGION_ENDPOINT_URL = os.environ["SES_ENDPOINT"]
# It would ask for the account's sending rate before each email, which the stand-in for SES does not answer.
AWS_SES_AUTO_THROTTLE = None

# The departures from the defaults, each for a question of its own.
match os.environ.get("SETTINGS"):
    case "no_sdk_retries":
        AWS_SES_CONFIG = Config(retries={"total_max_attempts": 1})
    case "batches_of_one":
        POST_OFFICE |= {"BATCH_SIZE": 1, "THREADS_PER_PROCESS": 1}

"""Reads templates with the rules of cfripper: `python with_cfripper.py FILE…`, as `cargo xtask verify` does.

cfripper by itself cannot be used here. It does not know SAM, so a template that needs it is expanded first. And a rule of
it that comes upon an Fn::If, or upon a parameter instead of an address, crashes, says so in its log and lets the template
pass. So each template is read twice, once with the first branch of every Fn::If and once with the second, parameters have
values, and a crash is a failure.
"""

import json
import logging
import os
import sys
from pathlib import Path

import pycfmodel
from cfripper.config.config import Config
from cfripper.config.filter import Filter
from cfripper.config.pluggy.utils import get_all_rules
from cfripper.model.enums import RuleMode
from cfripper.rule_processor import RuleProcessor
from expand import expanded
from samtranslator.yaml_helper import yaml_parse

NOTHING = {"Ref": "AWS::NoValue"}

# For parameters without a default that would do.
VALUES = {"ClientCidr": "10.1.0.0/16"}

# It has no rule for these, and cannot read a threshold below 1.
UNREAD = ["AWS::CloudWatch::Alarm"]


def answered(rules, resources, reason):
    """What a rule finds in these resources is right as it is, for this reason."""
    here = {"in": [{"ref": "logical_id"}, {"set": resources}]}
    return Filter(reason=reason, rule_mode=RuleMode.ALLOWED, rules=set(rules), eval=here)


ANSWERED = [
    answered(
        ["GenericCrossAccountTrustRule", "GenericResourceFullWildcardPrincipalRule"],
        ["S3Endpoint", "StsEndpoint", "LambdaEndpoint"],
        "An endpoint's policy grants nothing by itself: what a role may do is asked as well. In these a statement names no "
        "account because Lambda or CloudFormation is who asks; it names the one action, and what may be reached by it.",
    ),
]


def decided(value, branch, parameters):
    """The value with this branch of every Fn::If, 1 or 2, without what is then nothing, and with parameters' values."""
    if isinstance(value, list):
        items = (decided(item, branch, parameters) for item in value)
        return [item for item in items if item != NOTHING]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        return decided(value["Fn::If"][branch], branch, parameters)
    if value.keys() == {"Ref"}:
        return parameters.get(value["Ref"], value)
    members = ((name, decided(member, branch, parameters)) for name, member in value.items())
    return {name: member for name, member in members if member != NOTHING}


def findings(template, branch):
    parameters = {name: parameter.get("Default") for name, parameter in template.get("Parameters", {}).items()}
    parameters = {name: value for name, value in (parameters | VALUES).items() if value is not None}
    resources = decided(template["Resources"], branch, parameters)
    resources = {name: resource for name, resource in resources.items() if resource["Type"] not in UNREAD}
    # Of the other sections it reads nothing, but stumbles over what it does not expect there.
    sections = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    rules = get_all_rules()
    # The account is made up; without one the rules about other accounts say nothing.
    config = Config(rules=list(rules), aws_account_id="111122223333", rules_filters=ANSWERED)
    processor = RuleProcessor(*(rule(config) for rule in rules.values()))
    result = processor.process_cf_template(pycfmodel.parse(sections), config)
    found = [f"{failure.rule}: {failure.reason}" for failure in result.failures if failure.rule_mode != RuleMode.ALLOWED]
    return found + [f"a rule crashed: {error!r}" for error in result.exceptions]


def main(paths):
    os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
    logging.disable(logging.WARNING)
    found = []
    for path in paths:
        template = expanded(yaml_parse(Path(path).read_text(encoding="utf-8")), {})
        found += sorted({f"{path}: {text}" for branch in (1, 2) for text in findings(template, branch)})
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Prints a template as CloudFormation gets it, `python expand.py FILE NAME=VALUE…`: SAM's own translator, run here.

The values are parameters; the others have their defaults. What the translator decides by a parameter, such as whether
there is a canary, cannot be seen in the template itself.
"""

import json
import sys
from pathlib import Path

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


def expanded(template, values):
    """The template without its transform. What `sam build` uploads is said to be in S3."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = "s3://bucket/key"
    if "Transform" in template:
        parameters = {name: parameter.get("Default", name) for name, parameter in template["Parameters"].items()}
        managed_policies = type("None", (), {"load": staticmethod(dict)})()
        template = transform(template, {**parameters, **values}, managed_policies)
    return json.loads(json.dumps(template))


if __name__ == "__main__":
    file, *pairs = sys.argv[1:]
    given = dict(pair.split("=", 1) for pair in pairs)
    print(json.dumps(expanded(yaml_parse(Path(file).read_text(encoding="utf-8")), given)))

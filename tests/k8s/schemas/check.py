"""Holds renders to the schemas of Kubernetes and of the custom kinds, strictly: what is not known is a fault.

    check.py CRDS REFUSED FILE...

Each object of each FILE is checked against every version in VERSIONS, or against the definition of its kind below CRDS.
Then each change in REFUSED is made to a render, and must be refused for the reason it names. The last line counts:
`N passed, N failed`.
"""

import pathlib
import sys

import jsonpatch
import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import SchemaNotFoundError

VERSIONS = ["1.33", "1.34", "1.35", "1.36", "1.37"]

# What is younger than the first of them, and said to be so where it is used.
SINCE = {
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"): "1.36",
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding"): "1.36",
}

# Of the metadata of a manifest; the server writes the rest.
METADATA = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 253},
        "namespace": {"type": "string", "maxLength": 63},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}


def strict(schema):
    """The schema with every unknown field refused, as the server would prune it without a word."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    free = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if isinstance(made.get("properties"), dict) and "type" in made and not free:
        made["additionalProperties"] = False
    return made


def definitions(directory):
    """Validators of the custom kinds, by apiVersion and kind."""
    found = {}
    for path in sorted(pathlib.Path(directory).rglob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = METADATA
            names = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            found[names] = jsonschema.Draft202012Validator(schema)
    return found


def faults(thing, custom):
    """In words, what is wrong with an object; nothing where it is good."""
    kind, api = thing.get("kind", ""), thing.get("apiVersion", "")
    validator = custom.get((api, kind))
    if validator:
        return [f"{where(error)}: {error.message}" for error in validator.iter_errors(thing)]
    found = []
    since = SINCE.get((api, kind), VERSIONS[0])
    for version in VERSIONS[VERSIONS.index(since) :]:
        try:
            used = kubernetes_validate.validate(thing, version, strict=True)
            if used != version:
                found.append(f"there are no schemas of Kubernetes {version}")
        except SchemaNotFoundError:
            found.append(f"Kubernetes {version} has no {kind} in {api}")
        except jsonschema.ValidationError as error:
            found.append(f"Kubernetes {version}: {where(error)}: {error.message}")
    return found


def where(error):
    return "/" + "/".join(str(part) for part in error.absolute_path)


def objects(path):
    return [thing for thing in yaml.safe_load_all(pathlib.Path(path).read_text()) if thing]


def mutated(mutation, files):
    render = next(path for path in files if pathlib.Path(path).stem == mutation["render"])
    kind, name = mutation["object"].split(" ")
    thing = next(it for it in objects(render) if it["kind"] == kind and it["metadata"]["name"] == name)
    return jsonpatch.apply_patch(thing, mutation["patch"])


def main(crds, refused, files):
    custom = definitions(crds)
    passed, failed = 0, 0
    for path in files:
        for thing in objects(path):
            wrong = faults(thing, custom)
            name = f"{path}: {thing.get('kind')} {thing.get('metadata', {}).get('name')}"
            for fault in wrong:
                print(f"FAILED {name}: {fault}")
            passed, failed = passed + (not wrong), failed + bool(wrong)
    for mutation in objects(refused):
        wrong = faults(mutated(mutation, files), custom)
        caught = any(mutation["says"] in fault for fault in wrong)
        if not caught:
            print(f"FAILED {mutation['what']} Found: {wrong}")
        passed, failed = passed + caught, failed + (not caught)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))

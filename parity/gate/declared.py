"""The named rule sets of the checkout that runs this, as text. Its source is handed to a base revision as it stands."""

import json
from dataclasses import fields

from quant.rule_sets import PRODUCT_RULE_SETS, RULE_SETS


def declared() -> dict[str, dict[str, str]]:
    """set -> field -> value, of both kinds of rules."""
    sets: dict[str, dict[str, str]] = {name: {} for name in RULE_SETS}
    for known in (RULE_SETS, PRODUCT_RULE_SETS):
        for name, rules in known.items():
            sets[name] |= {field.name: str(getattr(rules, field.name)) for field in fields(rules)}
    return sets


if __name__ == "__main__":
    print(json.dumps(declared()))

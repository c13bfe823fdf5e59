"""Ask `shopvl serve` about products over HTTP, with Python's own library: a batch whose rows fail one by one.

shopvl serve &
python docs/examples/call_server.py shirt.jpg shoe.jpg --url http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import base64
import json
import urllib.request
from pathlib import Path
from typing import Any


def asked(url: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """The answer of a place of the server. Raises HTTPError, whose body says what to do."""
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def main() -> None:
    """Tag pictures, and ask about the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", help="where the server wants one")
    told = parser.parse_args()

    products = [
        {"product_id": path.stem, "image": base64.b64encode(path.read_bytes()).decode()} for path in told.pictures
    ]
    tagged = asked(f"{told.url}/v1/tag", {"products": products}, told.key)
    for product in tagged["products"]:
        if product["error"]:
            print(product["product_id"], "failed:", product["error"]["message"])
            continue
        accepted = [f"{tag['property']} {tag['value']}" for tag in product["tags"] if tag["decision"] == "accept"]
        print(product["product_id"], ", ".join(accepted) or "nothing is accepted")
    question = {"products": products[:1], "question": "what colour is it?"}
    print(json.dumps(asked(f"{told.url}/v1/ask", question, told.key)["products"][0]))


if __name__ == "__main__":
    main()

"""A client of redis-py. A line of standard input is a JSON object, and so is its answer:

{"port": 6379, "calls": [["GET", "key"]]}

With `port` it connects anew.
"""

import json
import sys

import redis


def answer(client, call):
    try:
        value = client.execute_command(*call)
        return {"value": value if value is None else str(value)}
    except Exception as error:
        return {"class": type(error).__name__, "message": str(error)}


def main():
    client = None
    for line in sys.stdin:
        order = json.loads(line)
        if "port" in order:
            # One connection, and nothing is tried twice.
            client = redis.Redis(
                port=order["port"], single_connection_client=True, retry=None, decode_responses=True
            )
        answers = [answer(client, call) for call in order["calls"]]
        print(json.dumps({"answers": answers}), flush=True)


main()

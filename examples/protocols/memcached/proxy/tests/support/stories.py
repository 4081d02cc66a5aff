"""What a program does with pymemcache, and what it finds: one fact a line."""

import sys

from pymemcache.client.base import Client, PooledClient

host, port = sys.argv[1].split(":")
address = (host, int(port))
client = Client(address, timeout=60)


def fact(name, *values):
    print(f"{name}: {' '.join(str(value) for value in values)}")


# `set` and the others ask for no answer unless told, which is pymemcache's default.
client.set("a", "1")
fact("get", client.get("a"))
fact("miss", client.get("missing"), client.get("missing", "default"))
fact("set", client.set("a", "2", noreply=False), client.get("a"))
fact("add", client.add("a", "3", noreply=False), client.add("b", "3", noreply=False))
fact("replace", client.replace("zz", "3", noreply=False))
client.append("a", "!")
client.prepend("a", ".")
fact("append", client.get("a"))
value, cas = client.gets("a")
fact("cas", client.cas("a", "4", cas), client.cas("a", "5", cas), client.cas("zz", "5", cas))
client.set("n", "10")
fact("incr", client.incr("n", 5), client.decr("n", 7), client.incr("zz", 1))
fact("touch", client.touch("a", 100, noreply=False), client.touch("zz", noreply=False))
fact("gets", client.gets("b")[0], client.gets("missing"))
many = {f"many{n}": str(n) for n in range(100)}
fact("set_many", client.set_many(many, noreply=False))
found = client.get_many(list(many) + ["missing"])
fact("get_many", len(found), "of", len(many), found == {k: v.encode() for k, v in many.items()})
fact("gets_many", len(client.gets_many(list(many))))
fact("delete", client.delete("a", noreply=False), client.delete("a", noreply=False))
fact("delete_many", client.delete_many(["many1", "many2"]), len(client.get_many(list(many))))
client.set("large", "x" * 600_000)
fact("large", len(client.get("large")))
try:
    client.set("huge", "x" * 2_000_000, noreply=False)
except Exception as error:
    fact("huge", type(error).__name__, error)
try:
    client.incr("b", "nonsense")
except Exception as error:
    fact("bad", type(error).__name__, error)
fact("version", client.version())
fact("flush_all", client.flush_all(noreply=False), client.get("n"))
client.quit()

pool = PooledClient(address, max_pool_size=4, timeout=60)
pool.set("pooled", "1", noreply=False)
fact("pooled", pool.get("pooled"))

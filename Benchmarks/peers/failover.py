# SPDX-License-Identifier: Apache-2.0
"""Writes and reads through hasql until its standard input ends, and tells each server's first acknowledged write.

usage: failover.py DSN FIRST-ID WRITERS READERS [REFRESH-DELAY]

As our own `Failover apply`: a line "first PORT NANOSECONDS" for each server's first write, and for the first after half a
second without any; a JSON object at the end. Without a refresh
delay, hasql's default. Statements have a time limit of a second, which asyncpg's default (none) would not give them.
"""

import asyncio
import json
import logging
import sys
import time

from hasql.driver.asyncpg import PoolManager


class Application:
    def __init__(self, manager, first_id):
        self.manager = manager
        self.last_id = first_id
        self.is_closed = False
        self.acknowledged = {}
        self.last_write = 0
        self.report = {"failed": 0, "last_error": None, "reads": 0, "failed_reads": 0}

    async def write(self):
        while not self.is_closed:
            self.last_id += 1
            id = self.last_id
            began = time.monotonic_ns()
            try:
                async with self.manager.acquire_master(timeout=5) as connection:
                    port = await connection.fetchval(
                        "INSERT INTO ledger (id) VALUES ($1) RETURNING inet_server_port()", id
                    )
            except Exception as error:
                if not self.is_closed:
                    self.report["failed"] += 1
                    self.report["last_error"] = repr(error)
            else:
                now = time.monotonic_ns()
                if port not in self.acknowledged or now - self.last_write > 500_000_000:
                    print("first", port, now, flush=True)
                self.last_write = now
                self.acknowledged.setdefault(port, {"port": port, "ids": [], "began": []})
                self.acknowledged[port]["ids"].append(id)
                self.acknowledged[port]["began"].append(began)
            await asyncio.sleep(0.001)

    async def read(self):
        while not self.is_closed:
            try:
                async with self.manager.acquire_replica(timeout=5) as connection:
                    await connection.fetchval("SELECT 1")
            except Exception:
                self.report["failed_reads"] += not self.is_closed
            self.report["reads"] += 1
            await asyncio.sleep(0.002)


async def main():
    dsn, first_id, writers, readers = sys.argv[1], *map(int, sys.argv[2:5])
    options = {"refresh_delay": float(sys.argv[5])} if len(sys.argv) > 5 else {}
    manager = PoolManager(dsn, pool_factory_kwargs={"min_size": 2, "max_size": 10, "command_timeout": 1}, **options)
    await manager.ready(masters_count=1, replicas_count=min(readers, 1))
    application = Application(manager, first_id)
    tasks = [asyncio.create_task(application.write()) for _ in range(writers)]
    tasks += [asyncio.create_task(application.read()) for _ in range(readers)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    application.is_closed = True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(application.report | {"acknowledged": list(application.acknowledged.values())}), flush=True)
    try:
        await asyncio.wait_for(manager.close(), 2)
    except Exception:
        await manager.terminate()


if __name__ == "__main__":
    # Each check of a lost server is worth a page to it.
    logging.disable(logging.CRITICAL)
    asyncio.run(main())

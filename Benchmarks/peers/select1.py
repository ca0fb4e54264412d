# SPDX-License-Identifier: Apache-2.0
"""SELECT 1 by N clients for S seconds through a Python peer; prints one JSON object.

usage: select1.py asyncpg|hasql DSN CLIENTS SECONDS
"""

import asyncio
import json
import sys
import time


async def measure(clients, seconds, run_one):
    """Runs `run_one` in `clients` tasks; returns operations per second and sorted latencies in ms."""
    latencies = []
    end = time.perf_counter() + seconds

    async def client():
        while True:
            start = time.perf_counter()
            if start >= end:
                return
            await run_one()
            latencies.append((time.perf_counter() - start) * 1000)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    elapsed = time.perf_counter() - start
    latencies.sort()
    return len(latencies) / elapsed, latencies


async def with_asyncpg(dsn, clients, seconds):
    import asyncpg

    async with asyncpg.create_pool(dsn, min_size=clients, max_size=clients) as pool:

        async def run_one():
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")

        return await measure(clients, seconds, run_one)


async def with_hasql(dsn, clients, seconds):
    from hasql.asyncpg import PoolManager

    manager = PoolManager(dsn, pool_factory_kwargs={"min_size": clients, "max_size": clients})
    await manager.ready(masters_count=1, replicas_count=0)
    try:

        async def run_one():
            async with manager.acquire_master() as connection:
                await connection.fetchval("SELECT 1")

        return await measure(clients, seconds, run_one)
    finally:
        await manager.close()


def main():
    peer, dsn, clients, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    run = {"asyncpg": with_asyncpg, "hasql": with_hasql}[peer]
    rate, latencies = asyncio.run(run(dsn, clients, seconds))
    print(
        json.dumps(
            {
                "ops_per_second": rate,
                "p50_ms": latencies[len(latencies) // 2],
                "p99_ms": latencies[len(latencies) * 99 // 100],
            }
        )
    )


main()

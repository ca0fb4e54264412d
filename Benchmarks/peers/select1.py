# SPDX-License-Identifier: Apache-2.0
"""SELECT 1 by N clients for S seconds through a Python peer, after a warm-up; prints one JSON object.

usage: select1.py asyncpg|hasql|psycopg|psqlpy DSN CLIENTS SECONDS WARM-UP-SECONDS
"""

import asyncio
import json
import sys
import time


async def run_clients(clients, seconds, run_one):
    """Runs `run_one` in `clients` tasks; returns the time taken and each client's latencies in ms."""
    start = time.perf_counter()
    end = start + seconds

    async def client():
        latencies = []
        began = time.perf_counter()
        while began < end:
            await run_one()
            now = time.perf_counter()
            latencies.append((now - began) * 1000)
            began = now
        return latencies

    latencies = await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - start, latencies


async def measure(clients, seconds, warm_up, run_one):
    await run_clients(clients, warm_up, run_one)
    elapsed, by_client = await run_clients(clients, seconds, run_one)
    latencies = sorted(latency for one in by_client for latency in one)
    counts = [len(one) for one in by_client]
    return {
        "ops_per_second": len(latencies) / elapsed,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[len(latencies) * 99 // 100],
        "fairness": min(counts) / max(counts),
    }


async def with_asyncpg(dsn, clients, *times):
    import asyncpg

    async with asyncpg.create_pool(dsn, min_size=clients, max_size=clients) as pool:

        async def run_one():
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")

        return await measure(clients, *times, run_one)


async def with_hasql(dsn, clients, *times):
    from hasql.driver.asyncpg import PoolManager

    manager = PoolManager(dsn, pool_factory_kwargs={"min_size": clients, "max_size": clients})
    await manager.ready(masters_count=1, replicas_count=1)
    try:

        async def run_one():
            async with manager.acquire_master() as connection:
                await connection.fetchval("SELECT 1")

        return await measure(clients, *times, run_one)
    finally:
        await manager.close()


async def with_psycopg(dsn, clients, *times):
    from psycopg_pool import AsyncConnectionPool

    # Without a transaction around each statement, as the others.
    pool = AsyncConnectionPool(dsn, min_size=clients, max_size=clients, open=False, kwargs={"autocommit": True})
    async with pool:

        async def run_one():
            async with pool.connection() as connection:
                await (await connection.execute("SELECT 1")).fetchone()

        return await measure(clients, *times, run_one)


async def with_psqlpy(dsn, clients, *times):
    from psqlpy import ConnectionPool

    pool = ConnectionPool(dsn=dsn, max_db_pool_size=clients)

    async def run_one():
        async with pool.acquire() as connection:
            await connection.fetch_val("SELECT 1")

    return await measure(clients, *times, run_one)


def main():
    peer, dsn, clients = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seconds, warm_up = float(sys.argv[4]), float(sys.argv[5])
    run = {"asyncpg": with_asyncpg, "hasql": with_hasql, "psycopg": with_psycopg, "psqlpy": with_psqlpy}[peer]
    print(json.dumps(asyncio.run(run(dsn, clients, seconds, warm_up))))


if __name__ == "__main__":
    main()

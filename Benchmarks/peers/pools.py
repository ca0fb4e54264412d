# SPDX-License-Identifier: Apache-2.0
"""A Python pool over connections to nothing. Each line of standard input is a command, each line of standard output its
outcome, a JSON object:

  warm SECONDS                                    hits that do not count
  hit CALLERS SIZE COUNT                          so many leases together, by callers that do nothing else
  hold CALLERS SIZE SECONDS                       each lease is held for one turn of the event loop
  spike CALLERS WARM SIZE CONNECT-MS WORK-MS      all at once, on a pool with so many idle connections

usage: pools.py asyncio-connection-pool|psycopg_pool|psycopg_pool-threads

Callers are tasks of one event loop, but for psycopg_pool-threads (which knows `warm` and `hit`).
"""

import asyncio
import json
import logging
import sys
import threading
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

HOLD_WARM_UP = 0.05


class AsyncioConnectionPool:
    """asyncio-connection-pool, with a strategy whose connections are objects."""

    def __init__(self, size, connect_seconds):
        import asyncio_connection_pool

        class Strategy(asyncio_connection_pool.ConnectionStrategy):
            opened = 0

            async def make_connection(self):
                self.opened += 1
                await asyncio.sleep(connect_seconds)
                return object()

            def connection_is_closed(self, connection):
                return False

            async def close_connection(self, connection):
                pass

        self._strategy = Strategy()
        self._pool = asyncio_connection_pool.ConnectionPool(strategy=self._strategy, max_size=size)
        self.lease = self._pool.get_connection

    @classmethod
    async def open(cls, size, idle, connect_seconds=0.0):
        pool = cls(size, connect_seconds)
        all_are_leased = asyncio.Event()
        left = idle

        async def lease_one():
            nonlocal left
            async with pool.lease():
                left -= 1
                if left == 0:
                    all_are_leased.set()
                await all_are_leased.wait()

        await asyncio.gather(*(lease_one() for _ in range(idle)))
        return pool

    @property
    def opened(self):
        return self._strategy.opened

    async def close(self):
        pass


def stub_for_psycopg(connect_seconds=0.0):
    """What psycopg_pool looks at: the state of the transaction, and the connection as a context."""
    from psycopg.pq import TransactionStatus

    class Stub:
        opened = 0

        def __init__(self):
            type(self).opened += 1
            self._pool = None
            self.pgconn = SimpleNamespace(transaction_status=TransactionStatus.IDLE)

        async def __aenter__(self):
            return self

        async def __aexit__(self, *failure):
            pass

        async def close(self):
            pass

        @classmethod
        async def connect(cls, conninfo, **options):
            connection = cls()
            await asyncio.sleep(connect_seconds)
            return connection

    class ThreadsStub(Stub):
        def __enter__(self):
            return self

        def __exit__(self, *failure):
            pass

        def close(self):
            pass

        @classmethod
        def connect(cls, conninfo, **options):
            return cls()

    return Stub, ThreadsStub


class PsycopgPool:
    """psycopg_pool's asynchronous pool."""

    @classmethod
    async def open(cls, size, idle, connect_seconds=0.0):
        from psycopg_pool import AsyncConnectionPool

        self = cls()
        self._stub, _ = stub_for_psycopg(connect_seconds)
        self._pool = AsyncConnectionPool("", connection_class=self._stub, min_size=idle, max_size=size, open=False)
        self.lease = self._pool.connection
        await self._pool.open(wait=True)
        return self

    @property
    def opened(self):
        return self._stub.opened

    async def close(self):
        await self._pool.close()


class LoopCommands:
    """The commands, for a pool whose callers are tasks of one event loop."""

    def __init__(self, kind):
        self._kind = kind
        self._pools = {}

    async def _pool(self, size):
        """A full pool of that size, kept for the commands that follow."""
        if size not in self._pools:
            self._pools[size] = await self._kind.open(size, size)
        return self._pools[size]

    async def warm(self, seconds):
        end = time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            await self.hit(8, 64, 1000)
        return {}

    async def hit(self, callers, size, count):
        lease = (await self._pool(int(size))).lease
        each = int(count) // int(callers)

        async def caller():
            for _ in range(each):
                async with lease():
                    pass

        began = time.perf_counter_ns()
        await asyncio.gather(*(caller() for _ in range(int(callers))))
        return {"ns": (time.perf_counter_ns() - began) / (each * int(callers))}

    async def hold(self, callers, size, seconds):
        lease = (await self._pool(int(size))).lease
        now = time.perf_counter_ns
        begin = now() + int(HOLD_WARM_UP * 1e9)
        end = begin + int(float(seconds) * 1e9)

        async def caller():
            waits = []
            while True:
                asked = now()
                async with lease():
                    got = now()
                    await asyncio.sleep(0)
                if got >= begin:
                    waits.append(min(got, end) - asked)
                if got >= end:
                    return waits

        by_caller = await asyncio.gather(*(caller() for _ in range(int(callers))))
        # Of who still waited at the end, so far; the last one of each. Below 0: began only after the end.
        waits = sorted(wait for one in by_caller for wait in one if wait >= 0)
        counts = [len(one) - 1 for one in by_caller]

        def percentile(thousandths):
            return waits[len(waits) * thousandths // 1000] / 1000 if waits else 0.0

        return {
            "per_second": sum(counts) / float(seconds),
            "p50_us": percentile(500),
            "p99_us": percentile(990),
            "p999_us": percentile(999),
            "fairness": min(counts) / max(1, max(counts)),
        }

    async def spike(self, callers, warm, size, connect_ms, work_ms):
        connect_seconds = float(connect_ms) / 1000
        pool = await self._kind.open(int(size), int(warm), connect_seconds)

        async def caller():
            async with pool.lease():
                await asyncio.sleep(float(work_ms) / 1000)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(int(callers))))
        took = time.perf_counter() - began
        # Those that were begun and whom nobody needed any more.
        await asyncio.sleep(2 * connect_seconds)
        await pool.close()
        return {"opened": pool.opened, "ms": took * 1000}


class ThreadCommands:
    """The commands, for psycopg_pool's pool for threads."""

    def __init__(self):
        self._pools = {}

    def _pool(self, size):
        from psycopg_pool import ConnectionPool

        if size not in self._pools:
            _, stub = stub_for_psycopg()
            pool = ConnectionPool("", connection_class=stub, min_size=size, max_size=size, open=False)
            pool.open(wait=True)
            self._pools[size] = pool
        return self._pools[size]

    async def warm(self, seconds):
        end = time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            await self.hit(2, 64, 1000)
        return {}

    async def hit(self, callers, size, count):
        lease = self._pool(int(size)).connection
        each = int(count) // int(callers)
        gate = threading.Barrier(int(callers) + 1)

        def caller():
            gate.wait()
            for _ in range(each):
                with lease():
                    pass

        threads = [threading.Thread(target=caller) for _ in range(int(callers))]
        for thread in threads:
            thread.start()
        gate.wait()
        began = time.perf_counter_ns()
        for thread in threads:
            thread.join()
        return {"ns": (time.perf_counter_ns() - began) / (each * int(callers))}


async def main():
    commands = {
        "asyncio-connection-pool": lambda: LoopCommands(AsyncioConnectionPool),
        "psycopg_pool": lambda: LoopCommands(PsycopgPool),
        "psycopg_pool-threads": ThreadCommands,
    }[sys.argv[1]]()
    logging.disable(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    # Read on another thread: a pool's own tasks go on between the commands.
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, *words = line.split()
        print(json.dumps(await getattr(commands, name)(*words)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

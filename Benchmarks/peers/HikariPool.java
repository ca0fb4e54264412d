// SPDX-License-Identifier: Apache-2.0

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;

/**
 * HikariCP over connections to nothing. Each line of standard input is a command, each line of standard output its
 * outcome, a JSON object:
 *
 *   warm SECONDS                                    until the compiler has done what it can
 *   hit CALLERS SIZE COUNT                          so many leases together, by threads that do nothing else
 *   hold CALLERS SIZE SECONDS                       each lease is held for one yield
 *   spike CALLERS WARM SIZE CONNECT-MS WORK-MS      all at once, on a pool with so many idle connections
 *
 * With the argument `version` it tells HikariCP's, and ends.
 */
public final class HikariPool {
    private static final Map<Integer, HikariDataSource> pools = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        if (Arrays.equals(arguments, new String[] {"version"})) {
            System.out.println(version());
            return;
        }
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "warm" -> warm(Double.parseDouble(words[1]));
                case "hit" -> hit(Integer.parseInt(words[1]), Integer.parseInt(words[2]), Long.parseLong(words[3]));
                case "hold" ->
                    hold(Integer.parseInt(words[1]), Integer.parseInt(words[2]), Double.parseDouble(words[3]));
                case "spike" ->
                    spike(
                        Integer.parseInt(words[1]), Integer.parseInt(words[2]), Integer.parseInt(words[3]),
                        Long.parseLong(words[4]), Long.parseLong(words[5]));
                default -> throw new IllegalArgumentException(line);
            }
        }
        System.exit(0);
    }

    private static String version() throws IOException {
        String path = "/META-INF/maven/com.zaxxer/HikariCP/pom.properties";
        try (InputStream input = HikariDataSource.class.getResourceAsStream(path)) {
            Properties properties = new Properties();
            properties.load(input);
            return properties.getProperty("version");
        }
    }

    private static HikariDataSource open(StubDataSource source, int idle, int size) throws InterruptedException {
        HikariConfig configuration = new HikariConfig();
        configuration.setDataSource(source);
        configuration.setMinimumIdle(idle);
        configuration.setMaximumPoolSize(size);
        HikariDataSource pool = new HikariDataSource(configuration);
        while (pool.getHikariPoolMXBean().getIdleConnections() < idle) Thread.sleep(1);
        return pool;
    }

    /** A full pool of that size, kept for the commands that follow. */
    private static HikariDataSource pool(int size) throws InterruptedException {
        HikariDataSource pool = pools.get(size);
        if (pool == null) {
            pool = open(new StubDataSource(0), size, size);
            pools.put(size, pool);
        }
        return pool;
    }

    private interface Work {
        void run(int caller) throws Exception;
    }

    /** Runs the work in so many threads that begin together; returns the nanoseconds that it took. */
    private static long run(int callers, Work work) throws InterruptedException {
        CountDownLatch ready = new CountDownLatch(callers);
        CountDownLatch gate = new CountDownLatch(1);
        CountDownLatch done = new CountDownLatch(callers);
        for (int index = 0; index < callers; index++) {
            int caller = index;
            new Thread(() -> {
                try {
                    ready.countDown();
                    gate.await();
                    work.run(caller);
                } catch (Exception failure) {
                    failure.printStackTrace();
                    System.exit(1);
                } finally {
                    done.countDown();
                }
            }).start();
        }
        ready.await();
        long began = System.nanoTime();
        gate.countDown();
        done.await();
        return System.nanoTime() - began;
    }

    private static long timeHits(int callers, int size, long count) throws InterruptedException {
        HikariDataSource pool = pool(size);
        long each = count / callers;
        return run(callers, caller -> {
            for (long left = each; left > 0; left--) {
                pool.getConnection().close();
            }
        });
    }

    private static void warm(double seconds) throws InterruptedException {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < end) {
            for (int callers : new int[] {1, 2, 8, 64}) timeHits(callers, 64, 400_000);
            Holding.measure(pool(8), 64, 0.1);
        }
        say("{}");
    }

    private static void hit(int callers, int size, long count) throws InterruptedException {
        say("{\"ns\": %.3f}", (double) timeHits(callers, size, count) / (count / callers * callers));
    }

    private static void hold(int callers, int size, double seconds) throws InterruptedException {
        Holding held = Holding.measure(pool(size), callers, seconds);
        say(
            "{\"per_second\": %.1f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"fairness\": %.4f}",
            held.count / seconds, held.percentile(500), held.percentile(990), held.percentile(999),
            held.fairness);
    }

    private static void spike(int callers, int warm, int size, long connectMilliseconds, long workMilliseconds)
            throws InterruptedException {
        StubDataSource source = new StubDataSource(connectMilliseconds);
        try (HikariDataSource pool = open(source, warm, size)) {
            long took = run(callers, caller -> {
                try (Connection connection = pool.getConnection()) {
                    Thread.sleep(workMilliseconds);
                }
            });
            // Those that were begun and whom nobody needed any more.
            Thread.sleep(2 * connectMilliseconds);
            say("{\"opened\": %d, \"ms\": %.3f}", source.opened.get(), took / 1e6);
        }
    }

    private static void say(String format, Object... arguments) {
        System.out.println(String.format(Locale.ROOT, format, arguments));
        System.out.flush();
    }

    /** What the callers saw in the time that counts: after all had begun, before the first one stopped. */
    private static final class Holding {
        private static final double WARM_UP = 0.05;
        /** Nanoseconds of waiting for a connection, sorted; of who still waits at the end, so far. */
        private final int[] latencies;
        /** How many leases. */
        final int count;
        final double fairness;

        static Holding measure(HikariDataSource pool, int callers, double seconds) throws InterruptedException {
            int[][] seen = new int[callers][];
            long[] window = new long[2];
            CountDownLatch begun = new CountDownLatch(callers);
            CountDownLatch known = new CountDownLatch(1);
            Thread clock = new Thread(() -> {
                try {
                    begun.await();
                } catch (InterruptedException interruption) {
                    return;
                }
                window[0] = System.nanoTime() + (long) (WARM_UP * 1e9);
                window[1] = window[0] + (long) (seconds * 1e9);
                known.countDown();
            });
            clock.start();
            run(callers, caller -> {
                begun.countDown();
                known.await();
                seen[caller] = waits(pool, window[0], window[1]);
            });
            return new Holding(seen);
        }

        private static int[] waits(HikariDataSource pool, long begin, long end) throws Exception {
            int[] waits = new int[1024];
            int count = 0;
            while (true) {
                long asked = System.nanoTime();
                long got;
                try (Connection connection = pool.getConnection()) {
                    got = System.nanoTime();
                    Thread.yield();
                }
                if (got < begin) continue;
                if (count == waits.length) waits = Arrays.copyOf(waits, 2 * count);
                waits[count++] = (int) Math.min(Math.min(got, end) - asked, Integer.MAX_VALUE);
                if (got >= end) return Arrays.copyOf(waits, count);
            }
        }

        private Holding(int[][] seen) {
            latencies = Arrays.stream(seen).flatMapToInt(Arrays::stream).filter(wait -> wait >= 0).sorted().toArray();
            // The last one of each was still waiting.
            count = Arrays.stream(seen).mapToInt(one -> one.length - 1).sum();
            int least = Arrays.stream(seen).mapToInt(one -> one.length - 1).min().orElse(0);
            int most = Arrays.stream(seen).mapToInt(one -> one.length - 1).max().orElse(0);
            fairness = most == 0 ? 0 : (double) least / most;
        }

        /** In microseconds. */
        double percentile(int thousandths) {
            if (latencies.length == 0) return 0;
            return latencies[(int) ((long) latencies.length * thousandths / 1000)] / 1000.0;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import java.io.PrintWriter;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Logger;
import javax.sql.DataSource;

/** Opens stub connections, and counts them. */
final class StubDataSource implements DataSource {
    final AtomicInteger opened = new AtomicInteger();
    private final long connectMilliseconds;

    StubDataSource(long connectMilliseconds) {
        this.connectMilliseconds = connectMilliseconds;
    }

    public Connection getConnection() throws SQLException {
        opened.incrementAndGet();
        try {
            Thread.sleep(connectMilliseconds);
        } catch (InterruptedException interruption) {
            throw new SQLException(interruption);
        }
        return new StubConnection();
    }

    public Connection getConnection(String user, String password) throws SQLException { return getConnection(); }
    public PrintWriter getLogWriter() { return null; }
    public void setLogWriter(PrintWriter writer) {}
    public void setLoginTimeout(int seconds) {}
    public int getLoginTimeout() { return 0; }
    public Logger getParentLogger() { return null; }
    public <T> T unwrap(Class<T> type) { return null; }
    public boolean isWrapperFor(Class<?> type) { return false; }
}

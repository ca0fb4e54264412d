// SPDX-License-Identifier: Apache-2.0

/// What a pool does with a session between two users of it.
///
/// Whatever the method: an open transaction, failed or not, is rolled back in the background after the connection came back,
/// and nobody gets it before; a connection with a statement still running, or in a COPY, is closed.
///
/// | method      | the next user may find                                             | costs |
/// |-------------|--------------------------------------------------------------------|-------|
/// | `.fast`     | settings, LISTEN, temporary tables, advisory locks of another one  | nothing |
/// | `.verified` | the same, but on a server that answered just now                   | a round trip for each request |
/// | `.clean`    | nothing                                                            | a round trip after each use, nobody waits for it unless all connections are in use |
/// | `.custom`   | what your statements leave                                         | the same |
///
/// Behind a pooler in transaction mode no session belongs to anybody, and resetting one is of no use.
public struct RecyclingMethod: Sendable, Hashable {
    private enum Kind: Hashable { case fast, verified, clean, custom(String) }

    private let kind: Kind

    /// Only what costs no round trip is looked at. The default of every pool.
    public static let fast = RecyclingMethod(kind: .fast)

    /// As ``fast``, and each connection has to answer before it is handed out, as with `PoolConfiguration.validation` set to
    /// `.always`; one that does not is closed, and the request gets another one.
    public static let verified = RecyclingMethod(kind: .verified)

    /// The session is reset after each use in which a statement was sent: cursors are closed; the session's user, role and
    /// settings become what they were after the login (also those that your `getConnection` set since); LISTEN ends;
    /// advisory locks are released; temporary tables, the state of sequences and statements that were prepared with
    /// `PREPARE` are dropped. Statements that this driver has prepared stay.
    public static let clean = RecyclingMethod(kind: .clean)

    /// After each use in which a statement was sent these run, for example `DISCARD ALL`. You vouch for the text. If they
    /// fail, or leave a transaction open, the connection is closed.
    public static func custom(_ sql: String) -> RecyclingMethod { RecyclingMethod(kind: .custom(sql)) }

    /// Whether each connection is validated before it is handed out.
    package var validates: Bool { kind == .verified }

    /// Whether there is something to do after each use.
    package var resets: Bool { script != nil }

    var script: String? {
        switch kind {
        case .fast, .verified: nil
        case .clean: Self.reset
        case .custom(let sql): sql
        }
    }

    /// Whether the script's last answer names statements that are to be dropped.
    var dropsPreparedStatements: Bool { kind == .clean }

    /// What DISCARD ALL does (PostgreSQL: "DISCARD"), except that plans and the driver's prepared statements stay. Allowed
    /// on a standby, too.
    private static let reset = """
        CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); \
        DISCARD TEMP; DISCARD SEQUENCES; SELECT quote_ident(name) FROM pg_prepared_statements WHERE from_sql
        """
}

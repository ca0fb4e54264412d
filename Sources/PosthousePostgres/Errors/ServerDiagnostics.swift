// SPDX-License-Identifier: Apache-2.0

/// Everything the server said about an error or a notice: the fields of an ErrorResponse or a NoticeResponse.
///
/// Texts are in the server's language (`lc_messages`); decide on ``sqlState`` and the names, never on words.
public struct ServerDiagnostics: Hashable, Sendable {
    /// `ERROR`, `FATAL`, `PANIC`, `WARNING`, `NOTICE`, `DEBUG`, `INFO` or `LOG`, never translated.
    public var severity: String?
    /// The five-character code.
    public var sqlState: SQLState?
    /// The primary message, usually one line.
    public var message: String
    /// A second, longer message.
    public var detail: String?
    /// What the server suggests to do.
    public var hint: String?
    /// Where in the statement the error is: a count of characters, from 1.
    public var position: Int?
    /// Where in ``internalQuery`` the error is.
    public var internalPosition: Int?
    /// The text of a command that the server made itself, such as one inside a PL/pgSQL function.
    public var internalQuery: String?
    /// The call stack of active functions and queries, one a line.
    public var context: String?
    /// The schema that the error is about.
    public var schema: String?
    /// The table that the error is about.
    public var table: String?
    /// The column that the error is about.
    public var column: String?
    /// The data type that the error is about.
    public var dataType: String?
    /// The constraint that the error is about.
    public var constraint: String?
    /// The source routine in the server that reported it.
    public var routine: String?

    init(message: String) {
        self.message = message
    }
}

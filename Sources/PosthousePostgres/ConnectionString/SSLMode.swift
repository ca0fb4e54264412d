// SPDX-License-Identifier: Apache-2.0

/// Whether a connection is encrypted and whom it trusts: libpq's `sslmode`.
@nonexhaustive
public enum SSLMode: String, Sendable, Hashable, CaseIterable {
    /// Never encrypted.
    case disable
    /// Encrypted only if the server insists.
    case allow
    /// Encrypted if the server can. The default.
    case prefer
    /// Always encrypted; the certificate is checked only if a root certificate is at hand.
    case require
    /// Always encrypted, and the certificate must be signed by a trusted authority.
    case verifyCA = "verify-ca"
    /// As `verifyCA`, and the certificate must name the host.
    case verifyFull = "verify-full"
}

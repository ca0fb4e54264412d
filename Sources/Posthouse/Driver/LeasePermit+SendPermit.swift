// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres

extension LeasePermit: SendPermit {
    /// Two atomic loads; see ``LeasePermit/isValid``.
    public func check() throws(SendRefusal) {
        guard !isValid else { return }
        do throws(PermitDenied) {
            try check()
        } catch {
            throw SendRefusal(code: error.databaseCode, message: error.description)
        }
    }
}

extension PermitDenied {
    fileprivate var databaseCode: DatabaseError.Code {
        switch code {
        case .fenced: .fenced
        case .terminated: .terminated
        default: .leaseExpired
        }
    }
}

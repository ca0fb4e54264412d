// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres

/// A lease's permit, in the driver's terms. Fits into an existential without a box.
struct LeaseSendPermit: SendPermit {
    let permit: LeasePermit

    /// Two atomic loads; see ``LeasePermit/isValid``.
    func check() throws(SendRefusal) {
        do throws(PermitDenied) {
            try permit.check()
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

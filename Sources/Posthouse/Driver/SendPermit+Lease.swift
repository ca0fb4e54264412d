// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres

extension SendPermit {
    /// A lease's permit, in the driver's terms.
    init(_ permit: LeasePermit) {
        self.init(permit.slot, stamp: Stamp(permit.expectedEpoch, permit.expectedFence))
    }
}

extension PoolSlot: SendPermitIssuer {
    /// Two atomic loads; see ``LeasePermit/isValid``.
    public func check(_ stamp: SendPermit.Stamp) throws(SendRefusal) {
        do throws(PermitDenied) {
            try LeasePermit(slot: self, expectedEpoch: stamp.first, expectedFence: stamp.second).check()
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

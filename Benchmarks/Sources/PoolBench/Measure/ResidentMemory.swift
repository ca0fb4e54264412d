// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The memory of this process that is in the machine's.
enum ResidentMemory {
    /// In bytes; 0 where the system does not tell it that way.
    static var bytes: Double {
        // Pages: all, resident, ...
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
        guard fields.count > 1, let pages = Double(fields[1]) else { return 0 }
        return pages * Double(sysconf(Int32(_SC_PAGESIZE)))
    }
}

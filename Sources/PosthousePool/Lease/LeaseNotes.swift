// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// What a slot is told of its member's configuration when its connection is opened.
struct SlotTerms: Sendable {
    var maximumUses: UInt64
    /// Whether it is validated every time before it is handed out.
    var isAlwaysValidated: Bool
    /// Whether there is something to do every time before it is handed out.
    var isAlwaysPrepared: Bool
    /// Whether somebody wants to know when each lease began, and which task has it.
    var notesLeases: Bool
}

/// What is noted of each lease, if somebody wants to know: reading a clock costs more than the lease itself.
@usableFromInline
final class LeaseNotes: Sendable {
    struct Note {
        /// nil while nobody has the connection; who was granted one and never got it has not.
        var beganAt: Moment?
        var taskName: String?
    }

    private let note = Guarded(Note())

    func begin(at now: Moment, task: String?) {
        note.withLock { $0 = Note(beganAt: now, taskName: task) }
    }

    /// Returns when the lease began that ends now.
    func end() -> Moment? {
        note.withLock { note in
            defer { note.beganAt = nil }
            return note.beganAt
        }
    }

    var current: Note { note.withLock { $0 } }
}

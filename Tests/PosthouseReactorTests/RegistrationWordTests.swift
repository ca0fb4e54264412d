// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import PosthouseReactor

/// Explores every order in which the steps of two waiting tasks, the loop and everybody else can follow each other. Each
/// step is one swap of the word, so these are all the behaviours that the shell can have.
@Suite struct RegistrationWordTests {
    @Test(arguments: [Readiness.read, .write, [.read, .write], []], [false, true])
    func everyWaitIsResumedExactlyOnceAndNoEventIsLost(interest: Readiness, hasCallback: Bool) {
        var search = Search(interest: interest, hasCallback: hasCallback)
        search.explore(Model())
        #expect(search.failures.isEmpty)
        #expect(search.states > 1000)
    }

    @Test func aTokenOfTheSocketBeforeIsDropped() {
        let word = RegistrationWord(generation: 1).replacing(generation: 2)
        #expect(word.delivering(.read, generation: 1, hasCallback: true) == .dropped)
        #expect(word.delivering(.read, generation: 2, hasCallback: false) != .dropped)
    }

    @Test func aHangupEndsAWaitForAnything() {
        for interest: Readiness in [.read, .write, []] {
            guard case .armed(let armed) = RegistrationWord(generation: 0).arming(for: interest),
                case .suspended(let waiting) = armed.publishing()
            else {
                Issue.record("not suspended")
                return
            }
            let hangup: Readiness = [.read, .write, .hangup]
            guard case .claimed(let next) = waiting.delivering(hangup, generation: 0, hasCallback: true) else {
                Issue.record("not claimed for \(interest)")
                return
            }
            #expect(next.ready == hangup.subtracting(interest.union(.hangup)))
        }
    }

    @Test func anUnknownReadinessBitDoesNotTouchTheState() {
        let word = RegistrationWord(generation: 0).replacing(generation: 7)
        guard case .armed(let armed) = word.arming(for: Readiness(rawValue: 0xFF)) else {
            Issue.record("not armed")
            return
        }
        #expect(armed.interest == [.read, .write])
        guard case .recorded(let ready) = armed.delivering(.read, generation: 7, hasCallback: true),
            case .ended(.ready, let ended) = ready.publishing()
        else {
            Issue.record("not ended")
            return
        }
        #expect(ended.generation == 7 && ended.waitNumber == 1 && !ended.isWaiting)
    }
}

// MARK: - The model

/// What happens around the waiting tasks, each once, at any moment.
enum Actor: UInt16, CaseIterable {
    case event, writeEvent, staleEvent, canceller, expirer, interrupter, closer, replacer, taker
}

/// One task that calls `wait`.
struct Waiter: Hashable {
    enum Step: Hashable { case arm, publish, suspended, leave, done }
    var step = Step.arm
    var number: UInt32 = 0
    var ended = false
}

/// Everything at one moment.
struct Model: Hashable {
    var bits = RegistrationWord(generation: 1).bits
    var generation: UInt32 = 1
    var waiters = [Waiter(), Waiter()]
    /// Who has still to act, as bits.
    var actors: UInt16 = (1 << UInt16(Actor.allCases.count)) - 1
    /// The wait that the expirer saw in its look.
    var expiring: UInt32?
    /// A readable event was reported for the present socket, and nobody was told.
    var owesEvent = false

    var word: RegistrationWord {
        get { RegistrationWord(bits: bits) }
        set { bits = newValue.bits }
    }
}

struct Search {
    let interest: Readiness
    let hasCallback: Bool
    private var seen: Set<Model> = []
    private(set) var failures: [String] = []

    var states: Int { seen.count }

    init(interest: Readiness, hasCallback: Bool) {
        self.interest = interest
        self.hasCallback = hasCallback
    }

    mutating func explore(_ start: Model) {
        var open = [start]
        while let model = open.popLast() {
            guard seen.insert(model).inserted, failures.isEmpty else { continue }
            check(model)
            open += successors(of: model)
        }
    }

    private mutating func successors(of model: Model) -> [Model] {
        var result: [Model] = []
        for index in model.waiters.indices {
            if let next = step(model, waiter: index) { result.append(next) }
        }
        for actor in Actor.allCases where model.actors & (1 << actor.rawValue) != 0 {
            if let next = act(model, actor) { result.append(next) }
        }
        return result
    }

    private mutating func step(_ model: Model, waiter index: Int) -> Model? {
        var next = model
        switch model.waiters[index].step {
        case .arm:
            switch model.word.arming(for: interest) {
            case .refused(_, let word):
                next.word = word
                next.waiters[index].step = .done
            case .ready(let word):
                next.word = word
                next.owesEvent = false
                next.waiters[index].step = .done
            case .armed(let word):
                next.word = word
                next.waiters[index].step = .publish
                next.waiters[index].number = word.waitNumber
            }
        case .publish:
            switch model.word.publishing() {
            case .suspended(let word):
                next.word = word
                next.waiters[index].step = .suspended
            case .ended(let outcome, let word):
                next.word = word
                resume(&next, number: model.waiters[index].number, outcome)
            }
        case .leave:
            next.bits &= RegistrationWord.leaving
            next.waiters[index].step = .done
        case .suspended, .done:
            return nil
        }
        return next
    }

    private mutating func act(_ model: Model, _ actor: Actor) -> Model? {
        var next = model
        next.actors &= ~(1 << actor.rawValue)
        switch actor {
        case .event:
            deliver(&next, .read, generation: model.generation)
        case .writeEvent:
            deliver(&next, .write, generation: model.generation)
        case .staleEvent:
            guard model.generation > 1 else { return nil }
            let before = model.bits
            deliver(&next, [.read, .write, .hangup], generation: 1)
            if next.bits != before { failures.append("a stale event changed \(model)") }
        case .canceller:
            // The handler exists from arming to leaving, for the first task here.
            let waiter = model.waiters[0]
            guard [.publish, .suspended, .leave].contains(waiter.step) else { return nil }
            end(&next, model.word.cancelling(wait: waiter.number), .cancelled, only: waiter.number)
        case .expirer:
            if let number = model.expiring {
                next.expiring = nil
                end(&next, model.word.expiring(wait: number), .timedOut, only: number)
            } else {
                guard model.word.isWaiting else { return nil }
                next.expiring = model.word.waitNumber
                next.actors |= 1 << actor.rawValue
            }
        case .interrupter:
            end(&next, model.word.interrupting(), .interrupted)
        case .closer:
            next.owesEvent = false
            end(&next, model.word.closing(.deregistered), .deregistered)
        case .replacer:
            next.generation += 1
            next.owesEvent = false
            next.word = model.word.replacing(generation: next.generation)
        case .taker:
            if model.word.ready.contains(.read) { next.owesEvent = false }
            next.word = model.word.takingReady()
        }
        return next
    }

    private mutating func deliver(_ model: inout Model, _ event: Readiness, generation: UInt32) {
        let before = model.word
        switch before.delivering(event, generation: generation, hasCallback: hasCallback) {
        case .dropped:
            return
        case .recorded(let word):
            model.word = word
        case .idle(let word):
            if before.isWaiting { failures.append("the idle callback ran while a task waited: \(model)") }
            model.word = word.callbackReturning()
        case .claimed(let word):
            if event.isDisjoint(with: interest.union(.hangup)) { failures.append("woken for nothing: \(model)") }
            model.word = word
            resume(&model, number: before.waitNumber, .ready)
            return
        }
        if event.contains(.read) { model.owesEvent = true }
    }

    private mutating func end(
        _ model: inout Model,
        _ ending: RegistrationWord.Ending,
        _ outcome: WaitOutcome,
        only intended: UInt32? = nil
    ) {
        switch ending {
        case .none:
            return
        case .recorded(let word):
            model.word = word
        case .claimed(let word):
            let number = model.word.waitNumber
            if let intended, intended != number { failures.append("ended wait \(number) for \(intended): \(model)") }
            model.word = word
            resume(&model, number: number, outcome)
        }
    }

    private mutating func resume(_ model: inout Model, number: UInt32, _ outcome: WaitOutcome) {
        guard let index = model.waiters.firstIndex(where: { $0.number == number && $0.step != .done }) else {
            failures.append("resumed wait \(number), which is not there: \(model)")
            return
        }
        if model.waiters[index].ended { failures.append("resumed wait \(number) twice: \(model)") }
        model.waiters[index].ended = true
        model.waiters[index].step = .leave
        if outcome == .ready, interest.contains(.read) { model.owesEvent = false }
    }

    /// What must hold at every moment.
    private mutating func check(_ model: Model) {
        let word = model.word
        if model.owesEvent, !word.ready.contains(.read) { failures.append("lost an event: \(model)") }
        let suspended = model.waiters.filter { $0.step == .suspended }
        if suspended.count > 1 { failures.append("two tasks in one place: \(model)") }
        if word.isWaiting != !suspended.isEmpty { failures.append("word and task disagree: \(model)") }
        if !suspended.isEmpty {
            if word.isClosed { failures.append("waits for a closed registration: \(model)") }
            if word.isInterrupted { failures.append("slept over an interrupt: \(model)") }
            if !word.ready.isDisjoint(with: interest.union(.hangup)) {
                failures.append("slept over an event: \(model)")
            }
        }
        if word.isOccupied != model.waiters.contains(where: { [.publish, .suspended, .leave].contains($0.step) }) {
            failures.append("the place is taken by nobody: \(model)")
        }
    }
}

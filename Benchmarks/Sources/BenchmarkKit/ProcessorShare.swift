// SPDX-License-Identifier: Apache-2.0

/// Work that fills the processor's execution units, as a witness of whether a neighbour uses them too.
///
/// A virtual processor may be one of two hardware threads of a core whose other thread belongs to somebody else. While that
/// one works, code with much to do at a time takes up to twice as long; a compare-exchange, which waits for itself, does not.
/// Dividing one by the other then says more of the neighbour than of the code. What this function takes tells the two apart.
package func executionUnitsNanoseconds() -> Double {
    let rounds = 20_000
    let began = monotonicNanoseconds()
    var (first, second, third, fourth): (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    // Four chains that do not wait for each other; none can be foreseen by the compiler.
    for _ in 0..<rounds {
        first = (first ^ (first &>> 7)) &+ 0x9e37
        second = (second ^ (second &>> 9)) &+ 0x79b9
        third = (third ^ (third &>> 11)) &+ 0x7f4a
        fourth = (fourth ^ (fourth &>> 13)) &+ 0x7c15
    }
    let took = Double(monotonicNanoseconds() - began)
    keep(first ^ second ^ third ^ fourth)
    return took / Double(rounds)
}

@inline(never)
private func keep(_ value: UInt64) {
    if value == 0 { print(value) }
}

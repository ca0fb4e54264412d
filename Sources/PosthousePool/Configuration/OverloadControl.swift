// SPDX-License-Identifier: Apache-2.0

/// Controlled delay for the wait queue, after CoDel (RFC 8289) in the simple form that "Fail at Scale" (ACM Queue, 2015)
/// describes.
///
/// A queue that empties now and then only smooths bursts: each request may wait until its deadline. One in which somebody has
/// been waiting for longer than ``interval`` without a break is not going to empty by itself: callers wait for nearly as long
/// as they can bear and then give up, so that the work done for them is wasted. A request that comes then waits for at most
/// ``target``, and is refused with ``PoolError/Code/overloaded``; those that were there before keep their deadlines. As soon
/// as the queue has been empty once, requests may wait again.
///
/// Requests for which a connection is being opened are not counted and not refused.
public struct OverloadControl: Sendable, Hashable {
    /// How long a request may wait while the pool is overloaded. Default 5 ms.
    public var target: Duration

    /// How long somebody must have been waiting, without a break, for the pool to count as overloaded. Default 100 ms.
    public var interval: Duration

    /// The defaults are those of the papers, which are meant for work of a few milliseconds.
    public init(target: Duration = .milliseconds(5), interval: Duration = .milliseconds(100)) {
        self.target = target
        self.interval = interval
    }
}

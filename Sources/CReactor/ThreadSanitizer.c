// SPDX-License-Identifier: Apache-2.0

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
// A continuation may be resumed before its task has finished suspending. The two meet at an atomic word inside the Swift
// runtime, which is not instrumented; so the sanitizer reports the resuming thread's read of the continuation's context
// and the task's next use of that memory as a race. The code in question is the standard library's, inlined.
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "race_top:sScc6resume9returning\n"; }
#endif
#endif

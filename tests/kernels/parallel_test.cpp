// What bodies of parallel loops throw reaches the one that waits for them.
#include <doctest/doctest.h>

#include <atomic>
#include <new>

#include "kernels/cpu/parallel.h"
#include "kernels/threads.h"

namespace fjord {

namespace {

template <class Loop>
void check_throws(const Loop& loop) {
  for (const int count : {1, 2, 4}) {
    set_threads(count);
    std::atomic<int> ran = 0;
    const auto body = [&](std::int64_t i) {
      ++ran;
      if (i % 10 == 3) throw std::bad_alloc();
    };
    CHECK_THROWS_AS(loop(body), std::bad_alloc);
    CHECK(ran == 100);
  }
  set_threads(0);
}

}  // namespace

TEST_CASE("an exception in a parallel loop is thrown behind it") {
  check_throws([](const auto& body) { parallel_for(100, body); });
}

TEST_CASE("an exception in one of unequal pieces is thrown behind them") {
  check_throws([](const auto& body) {
    parallel_pieces(100, threads(),
                    [&](std::size_t i, int) { body(static_cast<std::int64_t>(i)); });
  });
}

}  // namespace fjord

// What the tests of bad files share: the message of a refusal, and small damages.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "kernels/error.h"
#include "tests/images/scratch.h"

namespace fjord::test {

inline const std::string restore =
    " - restore the file from its source, or take it out of the data set";

/// The line a user would read, of an error of the data set's.
inline std::string message_of(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::dataset);
    return error.what();
  }
  return "no error";
}

inline Bytes cut(Bytes bytes, std::size_t by) {
  bytes.resize(bytes.size() - by);
  return bytes;
}

inline Bytes flipped(Bytes bytes, std::size_t at) {
  bytes[at] ^= std::byte{1};
  return bytes;
}

}  // namespace fjord::test

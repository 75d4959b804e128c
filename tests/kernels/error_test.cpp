// Errors: one line with code, place, cause and remedy; text from outside made safe to print.
#include "kernels/error.h"

#include <doctest/doctest.h>

#include "kernels/cpu/backend.h"
#include "kernels/kernel.h"
#include "tests/kernels/start.h"

namespace fjord {

namespace {

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("an error is one line: code, what, why, remedy") {
  const Error error(ExitCode::dataset, "label-value", "labels/a.png", "found 7 at (3, 4)",
                    "use --labels");
  CHECK(std::string(error.what()) ==
        "error[E-label-value] labels/a.png - found 7 at (3, 4) - use --labels");
  CHECK(error.exit == ExitCode::dataset);
  CHECK(error.slug == "label-value");
}

TEST_CASE("check() names place, rule and values") {
  CHECK_NOTHROW(check(true, "encoder", "{} is wrong", 3));
  CHECK(message_of([] { check(false, "encoder.conv1", "got {} channels", 3); }) ==
        "error[E-shape] encoder.conv1 - got 3 channels - change the model's options or the size of "
        "its input");
}

TEST_CASE("printable keeps text and shows what a terminal would obey") {
  CHECK(printable("") == "");
  CHECK(printable("a b/c.png") == "a b/c.png");
  CHECK(printable("d\xC3\xA4mme \xE6\xA3\xAE \xF0\x9F\x8C\xB2") ==
        "d\xC3\xA4mme \xE6\xA3\xAE \xF0\x9F\x8C\xB2");
  CHECK(printable("a\nb\tc") == "a\\x0ab\\x09c");
  CHECK(printable("\x1B[31mred") == "\\x1b[31mred");
  CHECK(printable(std::string_view("\0\x7F", 2)) == "\\x00\\x7f");
  CHECK(printable("\xC2\x9B") == "\\xc2\\x9b");  // the one-character form of ESC [
  CHECK(printable("\xFF\xFE") == "\\xff\\xfe");
  CHECK(printable("\xE6\xA3") == "\\xe6\\xa3");  // cut off
  CHECK(printable("\xC3(") == "\\xc3(");
  CHECK(printable("\xC0\xAF") == "\\xc0\\xaf");                    // overlong
  CHECK(printable("\xED\xA0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(printable("\xF4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST_CASE("an empty slot says which backend lacks it") {
  const AnyKernel* before = AnyKernel::first;
  static Kernel<In> missing{"missing_kernel"};
  AnyKernel::first = const_cast<AnyKernel*>(before);
  Stream stream{Backend::cuda};
  CHECK(message_of([&] { missing(In{}, stream); }) ==
        "error[E-no-kernel] missing_kernel: no cuda kernel in this build - the backend does not "
        "implement this operation - use --device cpu");
}

TEST_CASE("an instruction set that the CPU lacks is refused") {
  CHECK(isa_to_use(Isa::automatic, Isa::avx2) == Isa::avx2);
  for (const Isa best : {Isa::avx512, Isa::avx2, Isa::plain})
    for (const Isa asked : {Isa::avx512, Isa::avx2, Isa::plain}) {
      if (asked >= best)
        CHECK(isa_to_use(asked, best) == asked);
      else
        CHECK(message_of([&] { isa_to_use(asked, best); }) ==
              fmt::format("error[E-isa] --isa {} - this CPU does not have these instructions, its "
                          "best are {} - use --isa auto",
                          to_string(asked), to_string(best)));
    }
}

TEST_CASE("the instruction set is chosen once") {
  start_backends();
  const Isa isa = cpu_isa();
  CHECK(isa != Isa::automatic);
  CHECK_NOTHROW(enable_cpu_kernels(isa));
  CHECK_NOTHROW(enable_cpu_kernels());
  const Isa other = isa == Isa::plain ? Isa::avx2 : Isa::plain;
  CHECK(message_of([&] { enable_cpu_kernels(other); }) ==
        fmt::format("error[E-isa] --isa {0} - this process already uses {1} - use --isa {0} from "
                    "the start",
                    to_string(other), to_string(isa)));
  CHECK(cpu_isa() == isa);
}

}  // namespace fjord

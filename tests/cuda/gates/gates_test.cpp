// The gates themselves: occupancy, names, promises, and each planted fault found.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "tests/cuda/gates/occupancy.h"
#include "tests/cuda/gates/promises.h"

namespace fjord {

TEST_CASE("occupancy is that of NVIDIA's calculator") {
  const auto on = [](int architecture, int threads, int registers, std::size_t shared) {
    return occupancy(limits_of(architecture), {threads, registers, shared});
  };
  CHECK(on(80, 256, 32, 0) == 1.0);
  CHECK(on(80, 256, 64, 0) == 0.5);
  CHECK(on(90, 256, 40, 0) == 0.75);            // 48 warps of registers
  CHECK(on(86, 256, 40, 0) == 1.0);             // of 48 warps that there can be
  CHECK(on(80, 32, 16, 0) == 0.5);              // 32 blocks
  CHECK(on(80, 128, 32, 48 * 1024) == 0.1875);  // 3 blocks of 49 KiB in 164
  CHECK(on(75, 128, 32, 48 * 1024) == 0.125);   // 1 block in 64
  CHECK(on(75, 256, 32, 65 * 1024) == 0);       // does not fit
  CHECK(on(1, 256, 32, 0) == 0);                // not an architecture
}

TEST_CASE("names are short") {
  CHECK(short_name("_ZN5fjord4cuda42_GLOBAL__N__a6cf851d_4_t_cu_af0e8c39_2270011copy_kernelI13__nv_"
                   "bfloat16Li3EEEvPKNS1_1PEPS4_l") == "copy_kernel<__nv_bfloat16, 3>");
  CHECK(short_name("_ZN5fjord3badEPKfPfi") == "bad");
  CHECK(short_name("plain") == "plain");
}

TEST_CASE("promises that cannot be read are refused") {
  const auto read = [](const char* text) {
    std::istringstream stream(text);
    return read_promises(stream);
  };
  CHECK(read("# nothing\n\na.* 256 0 40 50 1 - - 0\nb foreign\n").size() == 2);
  CHECK_THROWS(read("a 256 0 40 50 1 - -\n"));
  CHECK(read("a<.*, 1> 256 0 40 50 1 - - 0\n").at(0).text == "a<.*, 1>");
  CHECK_THROWS(read("a 256 0 forty 50 1 - - 0\n"));
  CHECK_THROWS(read("a( 256 0 40 50 1 - - 0\n"));
}

TEST_CASE("promises are held") {
  KernelCode kernel{.name = "copy<float>", .architecture = 80, .registers = 64, .counts = {}};
  kernel.counts.loads128 = 1;
  const auto faults = [&](const std::string& text) {
    std::istringstream stream(text);
    return judge({kernel}, read_promises(stream)).faults.size();
  };
  CHECK(faults("copy<.*> 256 0 64 50 1 - - 0") == 0);
  CHECK(faults("copy<.*> 256 0 63 50 1 - - 0") == 1);
  CHECK(faults("copy<.*> 256 0 64 51 1 - - 0") == 1);
  CHECK(faults("copy<.*> 256 0 64 50 2 - - 0") == 1);
  CHECK(faults("copy<.*> 256 0 64 50 1 1 1 0") == 2);
  CHECK(faults("copy 256 0 64 50 1 - - 0") == 2);  // no promise, no kernel
  kernel.counts.loads = 1;
  CHECK(faults("copy<.*> 256 0 64 50 all - - 0") == 0);
  kernel.counts.loads = 2;
  CHECK(faults("copy<.*> 256 0 64 50 all - - 0") == 1);
  CHECK(faults("copy<.*> 256 0 64 50 - all - 0") == 1);  // no store at all
  kernel.stack = 8, kernel.counts.local = 2, kernel.counts.atomic = 1;
  CHECK(faults("copy<.*> 256 0 64 50 1 - - 0") == 3);
  CHECK(faults("copy<.*> foreign") == 0);
}

TEST_CASE("the overview has one row for all forms of a kernel") {
  std::istringstream text("copy<.*> 256 100 64 0 - - - 0\ntail - 0 64 0 - - 1 0\n");
  const std::string table =
      overview({{.name = "copy<float>", .architecture = 80, .registers = 32, .counts = {}},
                {.name = "copy<int>", .architecture = 80, .registers = 64, .counts = {}},
                {.name = "copy<int>", .architecture = 75, .registers = 40, .counts = {}},
                {.name = "tail", .architecture = 75, .registers = 9, .threads = 32, .counts = {}},
                {.name = "tail", .architecture = 80, .registers = 9, .threads = 32, .counts = {}}},
               read_promises(text));
  CHECK(table.find("| `copy` | 2 | 256 | 100 | 0 | 40, 100 % | 32-64, 50 % |\n") != table.npos);
  CHECK(table.find("| `tail` | 1 | 32 | 0 | 0 | | 9, 50 % |\n") != table.npos);
}

// FJORD_PLANTED: the object of planted.cu, where nvcc compiled it.
TEST_CASE("planted faults are found") {
  const char* object = std::getenv("FJORD_PLANTED");
  if (!object) {
    MESSAGE("SKIPPED: planted faults in compiled kernels (no nvcc in this build)");
    return;
  }
  const std::vector<KernelCode> kernels = read_device_code(object);
  const auto fault = [&](const std::string& name, const std::string& promise,
                         const char* expected) {
    std::vector<KernelCode> named;
    std::copy_if(kernels.begin(), kernels.end(), std::back_inserter(named),
                 [&](const KernelCode& kernel) { return kernel.name == name; });
    REQUIRE(!named.empty());
    std::istringstream stream(promise);
    std::string all;
    for (const std::string& line : judge(named, read_promises(stream)).faults) all += line + "\n";
    CAPTURE(all);
    return *expected ? all.find(expected) != std::string::npos : all.empty();
  };
  for (const KernelCode& kernel : kernels) {
    CAPTURE(kernel.name);
    CAPTURE(kernel.architecture);
    CHECK(kernel.shared == (kernel.name == "crowded" ? 10240 * sizeof(float) : 0));
  }
  CHECK(fault("wide_copy<__nv_bfloat16>", "wide_copy<.*> 256 0 32 90 1 1 - 0", ""));
  CHECK(fault("wide_copy<__nv_bfloat16>", "wide_copy<.*> 256 0 4 90 1 1 - 0", "registers"));
  CHECK(fault("narrow_copy", "narrow_copy 256 0 - - 1 1 - 0",
              "0 128-bit loads, promised at least 1"));
  CHECK(fault("narrow_copy", "narrow_copy 256 0 - - - 1 - 0", "0 128-bit stores"));
  CHECK(fault("narrow_copy", "narrow_copy 256 0 - - - - 1 0", "0 tensor-core instructions"));
  CHECK(fault("local_array", "local_array 256 0 - - - - - 0", "bytes of stack"));
  CHECK(fault("local_array", "local_array 256 0 - - - - - 0", "on local memory"));
  CHECK(fault("racing_sum", "racing_sum 256 0 - - - - - 0", "atomic operations"));
  CHECK(fault("crowded", "crowded 256 0 - 90 - - - 0", "% occupancy"));
  // sm_75 has the least: its 64 KiB hold one block of 40 KiB, 8 of 32 warps.
  CHECK(fault("crowded", "crowded - 0 - 25 - - - 0", ""));
  CHECK(fault("crowded", "crowded 512 0 - - - - - 0", "512 threads, promised at most 256"));
  CHECK(fault("narrow_copy", "narrow_copy - 0 - - - - - 0", "0 threads by promise"));
  CHECK(fault("crowded", "crowded 1024 65536 - 1 - - - 0", "") == false);
}

}  // namespace fjord

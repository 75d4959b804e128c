// The frame of every program.
#include "tools/program.h"

#include <fcntl.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <nlohmann/json.hpp>

#include "kernels/cpu/backend.h"
#include "kernels/error.h"
#include "kernels/threads.h"
#include "tools/compute.h"
#include "tools/files.h"
#include "tools/log.h"

namespace fjord {

void add_common_flags(Options& options, CommonFlags& flags) {
  options.group("every program");
  options.flag("quiet", &flags.quiet, {.help = "warnings only", .saved = false});
  options.flag("json", &flags.json,
               {.value = "FILE|-", .help = "result as one JSON", .saved = false});
  options.flag("device", &flags.device,
               {.value = "NAME", .help = "auto, cpu, cuda", .choices = {"auto", "cpu", "cuda"}});
  options.flag("isa", &flags.isa,
               {.value = "NAME",
                .help = "avx512, avx2, plain",
                .choices = {"auto", "avx512", "avx2", "plain"}});
  options.flag("threads", &flags.threads,
               {.value = "N", .help = "0: every core", .range = {0, 1024}, .saved = false});
  options.flag("seed", &flags.seed, {.value = "N", .help = "of all chance (0)"});
}

namespace {

Isa isa_of(const std::string& name) {
  return name == "avx512"  ? Isa::avx512
         : name == "avx2"  ? Isa::avx2
         : name == "plain" ? Isa::plain
                           : Isa::automatic;
}

// Where stderr is closed, the next file opened would get its number, and messages with it.
void hold_standard_numbers() {
  for (const int number : {0, 1, 2})
    if (::fcntl(number, F_GETFD) == -1) ::open("/dev/null", O_RDONLY);
}

}  // namespace

void apply_common_flags(const CommonFlags& flags) {
  set_quiet(flags.quiet);
  if (flags.device == "cuda") start_card();
  enable_cpu_kernels(isa_of(flags.isa));
  if (cpu_isa() == Isa::plain && flags.device != "cuda")
    say("instructions: plain ({}), several times slower than with AVX2",
        best_isa() == Isa::plain ? "this CPU has no AVX2" : "--isa plain");
  set_threads(flags.threads);
}

int run_program(int argc, char** argv, int (*body)(int argc, char** argv)) {
  hold_standard_numbers();
  wait_politely(argv);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  auto fail = [](std::string_view line, ExitCode code) {
    show_status("");
    note(line);
    // Not by fmt::print, which throws where stderr itself is closed or full.
    const std::string text = fmt::format("{}\n", line);
    std::fwrite(text.data(), 1, text.size(), stderr);
    return static_cast<int>(code);
  };
  try {
    const int code = body(argc, argv);
    // A reader that went away (| head) is its own business; any other failure of stdout is ours.
    if (std::fflush(stdout) == 0 || errno == EPIPE) return code;
    throw Error(ExitCode::io, "io", "stdout", "cannot be written",
                "write to a file by --json FILE");
  } catch (const Error& error) {
    return fail(error.what(), error.exit);
  } catch (const std::bad_alloc&) {
    return fail(
        "error[E-memory] out of memory - an allocation failed - use a smaller --batch or --size",
        ExitCode::bug);
  } catch (const std::exception& error) {
    return fail(fmt::format("error[E-bug] {} - this should not happen - please report it with the "
                            "command",
                            printable(error.what())),
                ExitCode::bug);
  }
}

void print_result(const CommonFlags& flags, const std::string& text) {
  if (flags.json != "-") std::fwrite(text.data(), 1, text.size(), stdout);
}

void write_json(const CommonFlags& flags, const nlohmann::ordered_json& object) {
  if (flags.json.empty()) return;
  const std::string line =
      object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (flags.json == "-")
    std::fwrite(line.data(), 1, line.size(), stdout);
  else
    write_file_atomically(flags.json, line);
}

}  // namespace fjord

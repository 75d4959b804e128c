// fjord-bench --peers: the same work by this program and by scripts of other libraries, in turns,
// each time as a new process.
#include <unistd.h>

#include <filesystem>

#include "kernels/threads.h"
#include "tools/benchmark.h"
#include "tools/files.h"
#include "tools/log.h"
#include "tools/process.h"

namespace fjord {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Strings = std::vector<std::string>;

struct Peer {
  const char *what, *name, *script;
  Strings flags;            // of the script, without dashes
  bool only_named = false;  // its script may lie elsewhere than the others'
};

const std::vector<Peer>& all_peers() {
  static const std::vector<Peer> list = {
      {"train", "pytorch", "train_step.py", {"channels-last"}},
      {"train", "pytorch-bf16", "train_step.py", {"channels-last", "amp=bf16"}},
      {"infer", "pytorch", "infer.py", {"engine=torch"}},
      {"infer", "onnxruntime", "infer.py", {"engine=onnxruntime"}},
      {"infer", "openvino", "infer.py", {"engine=openvino"}},
      {"infer", "openvino-bf16", "infer.py", {"engine=openvino", "bf16"}},
      {"infer", "ncnn", "infer.py", {"engine=ncnn"}},
      {"infer", "mnn", "infer.py", {"engine=mnn"}},
      {"infer", "openvino-int8", "infer_int8.py", {}, true},
      {"conv", "pytorch", "conv_layers.py", {}}};
  return list;
}

/// One who does the work, and what came of it.
struct Side {
  std::string name;
  Strings command;
  std::vector<Json> results = {};
  std::string failure = {};

  std::vector<double> sorted(const char* key) const {
    std::vector<double> values;
    for (const Json& result : results) values.push_back(result.at(key));
    std::sort(values.begin(), values.end());
    return values;
  }
  double median(const char* key) const { return median_of(sorted(key)); }
};

[[noreturn]] void refuse(const std::string& thing, const std::string& why,
                         const std::string& remedy) {
  throw Error(ExitCode::usage, "peers", printable(thing), why, remedy);
}

fs::path python_of(const BenchSettings& s) {
  const fs::path python = fs::path(*s.peers) / "bin/python";
  if (!fs::exists(python))
    refuse("--peers " + *s.peers, "there is no " + python.string(),
           "give the folder of a Python environment (python3 -m venv V)");
  return python;
}

fs::path script_of(const BenchSettings& s, const char* name) {
  const char* variable = std::getenv("FJORD_PEERS");
  const std::string folder = s.peers_dir.value_or(variable ? variable : "");
  if (folder.empty())
    refuse("--peers " + *s.peers, fmt::format("it is not said where {} is", name),
           "give --peers-dir DIR, or set the environment variable FJORD_PEERS");
  if (fs::exists(fs::path(folder) / name)) return fs::path(folder) / name;
  refuse("--peers-dir " + folder, fmt::format("it has no {}", name),
         "give --peers-dir DIR, the folder that holds it");
}

void check_work(const BenchSettings& s) {
  if (s.what != "train" && s.what != "infer" && s.what != "conv")
    refuse("--peers with " + s.what, "train, infer and conv have peers",
           "fjord-bench train --peers V");
  if (s.size.height != s.size.width)
    refuse("--size " + to_string(s.size), "the peers take squares", "give --size 256");
  const ModelFlags& m = s.model;
  if (m.encoder_depth != 5 || !m.decoder_channels.empty() || m.decoder_attention)
    refuse("--peers", "the peers build a network by --arch, --encoder, --in-channels and --classes",
           "leave the other flags of the network out");
  if (s.common.device == "cuda")
    refuse("--peers with --device cuda",
           "the CPU's work has peers; a card's are run by tests/gpu.sh", "give --device cpu");
}

bool wanted(const BenchSettings& s, const Peer& peer) {
  if (peer.what != s.what) return false;
  return s.peer.empty() ? !peer.only_named : std::ranges::count(s.peer, peer.name) > 0;
}

void check_names(const BenchSettings& s) {
  Strings known;
  for (const Peer& peer : all_peers())
    if (peer.what == s.what) known.push_back(peer.name);
  for (const std::string& name : s.peer)
    if (std::ranges::count(known, name) == 0)
      refuse("--peer " + name, fmt::format("{} has the peers {}", s.what, fmt::join(known, ", ")),
             "give one of them");
}

Strings command_of(const BenchSettings& s, const Peer& peer, const std::string& layers) {
  Strings command{python_of(s).string(), script_of(s, peer.script).string()};
  for (const std::string& flag : peer.flags) command.push_back("--" + flag);
  const auto add = [&](const char* flag, const auto& value) {
    command.push_back(fmt::format("--{}={}", flag, value));
  };
  add("steps", s.steps);
  add("warmup", s.warmup);
  add("threads", threads());
  if (s.what == "conv") {
    command.push_back(layers);
    return command;
  }
  add("arch", s.model.arch);
  add("encoder", s.model.encoder);
  add("size", s.size.width);
  add("batch", s.batch);
  if (s.model.in_channels) add("channels", *s.model.in_channels);
  if (s.model.classes) add("classes", *s.model.classes);
  return command;
}

/// This program's own command line without what is about peers and results.
Strings own_command(const BenchSettings& s) {
  Strings command{fs::read_symlink("/proc/self/exe").string()};
  const Strings left_out = {"--peers", "--peers-dir", "--peer", "--turns", "--json"};
  for (std::size_t i = 1; i < s.arguments.size(); ++i) {
    const std::string& argument = s.arguments[i];
    const std::string flag = argument.substr(0, argument.find('='));
    if (std::ranges::count(left_out, flag) == 0)
      command.push_back(argument);
    else if (flag == argument)
      ++i;  // its value
  }
  command.insert(command.end(), {"--json", "-"});
  return command;
}

// An instruction set that is capped for this program is for the others too.
Strings environment_of(const BenchSettings& s) {
  if (s.common.isa != "avx2") return {};
  return {"ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "DNNL_MAX_CPU_ISA=AVX2"};
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

void measure(Side& side, const Strings& environment) {
  if (!side.failure.empty()) return;
  const ProcessResult process = run_process(side.command, environment);
  const Json result = Json::parse(last_line(process.out), nullptr, false);
  if (process.code == 0 && result.is_object() && result.contains("median_ms")) {
    side.results.push_back(result);
    say("  {}: {:.1f} ms", side.name, result.at("median_ms").get<double>());
    return;
  }
  side.failure = printable(last_line(process.err).substr(0, 100));
  if (side.failure.empty()) side.failure = fmt::format("it ended with {}", process.code);
  say("  {}: {}", side.name, side.failure);
}

std::string work_text(const BenchSettings& s) {
  std::string text = fmt::format("{} {}-{}, {} of {}x{}", s.what, s.model.arch, s.model.encoder,
                                 s.batch, s.size.height, s.size.width);
  if (s.compute_flags.precision) text += ", " + *s.compute_flags.precision;
  if (s.compute_flags.memory != "normal") text += ", memory " + s.compute_flags.memory;
  if (s.compute_flags.exact) text += ", exact";
  return s.common.isa == "auto" ? text : text + ", " + s.common.isa;
}

std::string range_text(const Side& side) {
  const std::vector<double> ms = side.sorted("median_ms");
  return fmt::format("{:.0f} ms ({:.0f} to {:.0f})", median_of(ms), ms.front(), ms.back());
}

std::string row_text(const BenchSettings& s, const Side& own, const Side& peer) {
  if (!peer.failure.empty())
    return fmt::format("| {} | {} | skipped: {} | | | |\n", work_text(s), peer.name, peer.failure);
  const double mib = own.median("peak_rss_mib"), other = peer.median("peak_rss_mib");
  return fmt::format("| {} | {} | {} | {} | {:.2f} | {:.2f} ({:.0f} of {:.0f} MiB) |\n",
                     work_text(s), peer.name, range_text(own), range_text(peer),
                     peer.median("median_ms") / own.median("median_ms"), mib / other, mib, other);
}

Json json_of(const Side& side) {
  if (!side.failure.empty()) return {{"name", side.name}, {"skipped", side.failure}};
  const std::vector<double> ms = side.sorted("median_ms");
  return {{"name", side.name},
          {"median_ms", median_of(ms)},
          {"min_ms", ms.front()},
          {"max_ms", ms.back()},
          {"peak_rss_mib", side.median("peak_rss_mib")}};
}

/// A file of the layers that `conv` found, for the script; gone at the end.
struct LayerFile {
  LayerFile() {
    std::string name = (fs::temp_directory_path() / "fjord-layers-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
  }
  ~LayerFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  fs::path path;
};

// Medians over the turns, layer by layer, the peer's beside them.
Json layers_of(const Side& own, const Side& peer) {
  Json layers = own.results[0].at("layers");
  const auto median_over = [](const Side& side, auto value) {
    std::vector<double> values;
    for (const Json& result : side.results) values.push_back(value(result));
    std::sort(values.begin(), values.end());
    return median_of(values);
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    for (const char* key : {"ms", "direct_ms", "gflop_s", "percent_of_peak"})
      layers[i][key] = median_over(
          own, [&](const Json& result) { return result.at("layers")[i].at(key).get<double>(); });
    if (peer.failure.empty())
      layers[i][peer.name + "_ms"] = median_over(
          peer, [&](const Json& result) { return result.at("layers_ms").at(i).get<double>(); });
  }
  return layers;
}

}  // namespace

nlohmann::ordered_json bench_peers(const BenchSettings& s) {
  check_work(s);
  check_names(s);
  const LayerFile layers;
  const Strings environment = environment_of(s);
  Side own{"fjord", own_command(s)};
  std::vector<Side> peers;
  for (const Peer& peer : all_peers())
    if (wanted(s, peer)) peers.push_back({peer.name, command_of(s, peer, layers.path.string())});
  for (int turn = 0; turn < s.turns; ++turn) {
    say("turn {} of {}", turn + 1, s.turns);
    measure(own, environment);
    if (!own.failure.empty()) refuse("fjord-bench " + s.what, own.failure, "leave --peers out");
    if (s.what == "conv") write_file_atomically(layers.path, own.results[0].at("layers").dump());
    for (Side& peer : peers) measure(peer, environment);
  }
  Json json = report_head(s);
  json.update({{"turns", s.turns}, {"fjord", json_of(own)}, {"peers", Json::array()}});
  for (const Side& peer : peers) json["peers"].push_back(json_of(peer));
  if (s.what == "conv") {
    json["layers"] = layers_of(own, peers.at(0));
    print_result(s.common, layer_table(json["layers"]));
    return json;
  }
  print_result(s.common,
               "| work | beside | fjord | it | times as fast | memory |\n"
               "|---|---|---|---|---|---|\n");
  for (const Side& peer : peers) print_result(s.common, row_text(s, own, peer));
  return json;
}

}  // namespace fjord

// Measured choices kept in a folder, by cuDNN's version, card and problem.
#include "kernels/cuda/cudnn_cache.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace fjord::cuda {

namespace {

using nlohmann::json;

constexpr int kVersion = 2;

void report(const std::string& path, std::string_view why) {
  fmt::print(stderr, "warning: {} - {} - convolutions are timed again\n", printable(path), why);
}

std::uint64_t hash(const std::string& text) {
  std::uint64_t value = 14695981039346656037u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return value;
}

struct JsonOf {
  json operator()(const EngineChoice& choice) const {
    return {{"engine", choice.engine}, {"knobs", choice.knobs}};
  }
  json operator()(const AlgorithmChoice& choice) const {
    return {{"cublasLt", choice.version}, {"algorithm", choice.words}};
  }
  json operator()(const ApartChoice&) const { return {{"apart", true}}; }
};

// Throws json::exception when it is anything else.
ConvChoice choice_of(const json& value) {
  if (value.contains("apart") && value.at("apart") == true) return ApartChoice{};
  if (value.contains("cublasLt")) {
    AlgorithmChoice choice;
    value.at("cublasLt").get_to(choice.version);
    value.at("algorithm").get_to(choice.words);
    return choice;
  }
  EngineChoice choice;
  value.at("engine").get_to(choice.engine);
  value.at("knobs").get_to(choice.knobs);
  return choice;
}

}  // namespace

PlanCache::PlanCache(std::string folder, std::string device) : device_(std::move(device)) {
  if (folder.empty()) return;
  path_ = (std::filesystem::path(folder) / fmt::format("conv-plans-{:016x}.json", hash(device_)))
              .string();
  read();
}

void PlanCache::read() {
  std::error_code none;
  if (!std::filesystem::exists(path_, none)) return;
  try {
    std::ifstream file(path_);
    const json root = json::parse(file);
    if (root.at("version") != kVersion || root.at("device") != device_) {
      report(path_, "of another version or device");
      return;
    }
    std::map<std::string, ConvChoice> choices;
    for (const auto& [problem, choice] : root.at("plans").items())
      choices[problem] = choice_of(choice);
    choices_ = std::move(choices);
  } catch (const json::exception&) {
    report(path_, "not the JSON of this cache");
  }
}

void PlanCache::write() const {
  json plans = json::object();
  for (const auto& [problem, choice] : choices_) plans[problem] = std::visit(JsonOf{}, choice);
  const json root{{"version", kVersion}, {"device", device_}, {"plans", plans}};
  const std::string temporary = fmt::format("{}.tmp.{}", path_, getpid());
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), failed);
  {
    std::ofstream file(temporary);
    file << root.dump(1) << '\n';
    if (!file.flush()) failed = std::make_error_code(std::errc::io_error);
  }
  if (!failed) std::filesystem::rename(temporary, path_, failed);
  if (!failed) return;
  report(path_, "cannot be written");
  std::filesystem::remove(temporary, failed);
}

std::optional<ConvChoice> PlanCache::find(const std::string& problem) const {
  const auto found = choices_.find(problem);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void PlanCache::store(const std::string& problem, const ConvChoice& choice) {
  choices_[problem] = choice;
  if (!path_.empty()) write();
}

}  // namespace fjord::cuda

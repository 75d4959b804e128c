// The command line through CLI11: which flag has which text; conversion is in values.cpp, config
// files in config.cpp, help in help.cpp.
#include "tools/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "kernels/error.h"

namespace fjord {

namespace {

const std::map<std::string, std::string> kOtherTools = {
    {"learning-rate", "lr"},       {"batch-size", "batch"},     {"bs", "batch"},
    {"workers", "threads"},        {"num-workers", "threads"},  {"image-size", "size"},
    {"img-size", "size"},          {"imgsz", "size"},           {"backbone", "encoder"},
    {"num-classes", "classes"},    {"n-classes", "classes"},    {"pretrained", "encoder-weights"},
    {"weights", "init"},           {"gpu", "device"},           {"channels", "in-channels"},
    {"num-epochs", "epochs"},      {"max-epochs", "epochs"},    {"wd", "weight-decay"},
    {"scheduler", "schedule"},     {"lr-schedule", "schedule"}, {"architecture", "arch"},
    {"model-name", "encoder"},     {"checkpoint", "init"},      {"tta-flips", "tta"},
    {"augmentation", "augment"},   {"grad-clip", "clip-norm"},  {"warmup", "warmup-steps"},
    {"early-stopping", "patience"}};

bool is_list(const FlagTarget& target) {
  return std::holds_alternative<std::vector<std::string>*>(target);
}

std::string strip_dashes(const std::string& argument) {
  std::string name = argument.substr(0, argument.find('='));
  name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace

std::string nearest_flag(const std::string& wrong, const std::vector<std::string>& names) {
  const std::string name = strip_dashes(wrong);
  std::vector<std::string_view> candidates(names.begin(), names.end());
  auto known = [&](std::string_view candidate) {
    return std::find(names.begin(), names.end(), candidate) != names.end();
  };
  if (known(name)) return name;
  for (const std::string& candidate : names)
    if (!name.empty() && candidate.starts_with(name)) return candidate;
  for (const auto& [other, ours] : kOtherTools)
    if (known(ours)) candidates.push_back(other);
  const std::string near(nearest_name(name, candidates));
  return known(near) ? near : kOtherTools.at(near);
}

void Options::flag(std::string name, FlagTarget target, FlagOptions options) {
  const std::string initial = show(target);
  flags_.push_back(
      {std::move(name), group_, target, std::move(options), false, false, false, initial});
}

void Options::positional(std::string name, FlagTarget target, FlagOptions options) {
  flag(std::move(name), target, std::move(options));
  flags_.back().positional = true;
}

void Options::conflict(std::string a, std::string b, std::string why) {
  conflicts_.push_back({std::move(a), std::move(b), std::move(why)});
}

Options::Flag* Options::find(const std::string& name) {
  for (Flag& flag : flags_)
    if (flag.name == name) return &flag;
  return nullptr;
}
const Options::Flag* Options::find(const std::string& name) const {
  return const_cast<Options*>(this)->find(name);
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> list;
  for (const Flag& flag : flags_)
    if (!flag.positional) list.push_back(flag.name);
  list.insert(list.end(), {"help", "version"});
  return list;
}

void Options::refuse_unknown(const std::string& argument) const {
  const std::string near = nearest_flag(argument, names());
  throw Error(ExitCode::usage, "unknown-flag", printable(argument.substr(0, argument.find('='))),
              fmt::format("{} has no such flag", text_.name),
              near.empty() ? fmt::format("see {} --help", text_.name)
                           : fmt::format("did you mean --{}?", near));
}

bool Options::print_help_or_version(int argc, const char* const* argv) const {
  for (int i = 1; i < argc && std::string(argv[i]) != "--"; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fputs(help().c_str(), stdout);
      return true;
    }
    if (argument == "--version") {
      fmt::print("{} {}\n", text_.name, FJORD_VERSION);
      return true;
    }
  }
  return false;
}

void Options::add_to(CLI::App& app, const Flag& flag, std::vector<std::string>& texts) const {
  if (std::holds_alternative<bool*>(flag.target)) {
    app.add_flag("--" + flag.name)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  } else if (flag.positional) {
    const bool list = is_list(flag.target);
    app.add_option(flag.name, texts)->expected(list ? -1 : 1)->allow_extra_args(list);
  } else {
    // A repeated flag is refused by take(): CLI11's own message does not name it.
    app.add_option("--" + flag.name, texts)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
  }
}

bool Options::parse(int argc, const char* const* argv) {
  if (print_help_or_version(argc, argv)) return false;
  CLI::App app;
  app.set_help_flag("");
  app.allow_extras();
  std::map<std::string, std::vector<std::string>> texts;
  for (const Flag& flag : flags_) add_to(app, flag, texts[flag.name]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ArgumentMismatch&) {
    const Flag* flag = find(strip_dashes(argv[argc - 1]));
    throw Error(ExitCode::usage, "missing-value", printable(argv[argc - 1]),
                "needs a value after it",
                flag ? fmt::format("give --{} {}", flag->name, flag->options.value)
                     : fmt::format("see {} --help", text_.name));
  } catch (const CLI::ParseError& error) {
    throw Error(ExitCode::usage, "command-line", printable(error.what()),
                fmt::format("{} cannot read that", text_.name),
                fmt::format("see {} --help", text_.name));
  }
  refuse_extras(app.remaining());
  for (Flag& flag : flags_)
    take(flag, app.get_option((flag.positional ? "" : "--") + flag.name)->results());
  return true;
}

void Options::refuse_extras(const std::vector<std::string>& extras) const {
  for (const std::string& extra : extras) {
    if (extra == "--") break;
    if (extra.size() > 1 && extra[0] == '-') refuse_unknown(extra);
  }
  for (const std::string& extra : extras)
    if (extra != "--")
      throw Error(ExitCode::usage, "extra-argument", printable(extra),
                  fmt::format("{} takes no further argument", text_.name),
                  fmt::format("usage: {} {}", text_.name, text_.usage));
}

void Options::take(Flag& flag, const std::vector<std::string>& values) {
  flag.given = !values.empty();
  if (values.size() > 1 && !is_list(flag.target))
    throw Error(ExitCode::usage, "repeated-flag", fmt::format("--{}", flag.name),
                fmt::format("was given {} times", values.size()), "give it once");
  if (flag.given && is_list(flag.target)) std::get<std::vector<std::string>*>(flag.target)->clear();
  for (const std::string& value : values) {
    if (!flag.positional && value.starts_with("--") && find(value.substr(2)))
      throw Error(ExitCode::usage, "missing-value", fmt::format("--{}", flag.name),
                  fmt::format("is followed by the flag {}, not by a value", value),
                  fmt::format("give --{} {}", flag.name, flag.options.value));
    const bool is_switch = std::holds_alternative<bool*>(flag.target);
    const std::string where = is_switch         ? "--" + flag.name
                              : flag.positional ? fmt::format("{} {}", flag.name, value)
                                                : fmt::format("--{} {}", flag.name, value);
    assign_flag(flag.target, flag.options, flag.positional ? "" : flag.name, where, value);
  }
}

void Options::check_conflicts() const {
  for (const Pair& pair : conflicts_) {
    const Flag *a = find(pair.a), *b = find(pair.b);
    auto used = [](const Flag* flag) {
      return (flag->given || flag->configured) && show(flag->target) != flag->initial;
    };
    if (used(a) && used(b))
      throw Error(ExitCode::usage, "conflict",
                  fmt::format("--{} and --{} were both given", pair.a, pair.b), pair.why,
                  "leave one of them out");
  }
}

bool Options::given(const std::string& name) const { return find(name) && find(name)->given; }
bool Options::set(const std::string& name) const {
  return given(name) || (find(name) && find(name)->configured);
}
std::string Options::shown(const std::string& name) const { return show(find(name)->target); }

}  // namespace fjord

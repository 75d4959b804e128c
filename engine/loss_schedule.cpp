// The stages of a loss schedule and what stands between two of them.
#include "engine/loss_schedule.h"

#include <algorithm>
#include <charconv>

#include "kernels/error.h"

namespace fjord {
namespace {

[[noreturn]] void refuse(std::string_view stage, std::string_view why) {
  throw Error(ExitCode::usage, "loss", fmt::format("--loss, stage \"{}\"", printable(stage)), why,
              "write \"bce; 5: dice; 8..10: lovasz\": from epoch 5 on, then from 8 to 10");
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// An epoch as users count, from 1.
int epoch_of(std::string_view text, std::string_view stage) {
  text = trimmed(text);
  int epoch = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  if (error != std::errc() || end != text.data() + text.size() || epoch < 1 || epoch > 1'000'000)
    refuse(stage, fmt::format("\"{}\" is no epoch: a whole number from 1 on", printable(text)));
  return epoch - 1;
}

LossSchedule::Stage later_stage(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    refuse(text, "each loss but the first says from which epoch");
  const std::string_view epochs = text.substr(0, colon);
  const std::size_t dots = epochs.find("..");
  const int begin = epoch_of(epochs.substr(0, dots), text);
  const int end = dots == std::string_view::npos ? begin : epoch_of(epochs.substr(dots + 2), text);
  if (end < begin) refuse(text, "it would end before it begins");
  return {begin, end, parse_loss(trimmed(text.substr(colon + 1)))};
}

// Losses that differ in their weight alone are one.
void add(LossExpression& sum, const LossExpression& part, double share) {
  for (LossTerm term : part.terms) {
    term.weight *= share;
    const auto like = std::ranges::find_if(sum.terms, [&](LossTerm other) {
      other.weight = term.weight;
      return other == term;
    });
    if (like == sum.terms.end())
      sum.terms.push_back(term);
    else
      like->weight += term.weight;
  }
}

}  // namespace

LossExpression LossSchedule::at(int epoch) const {
  auto stage = std::prev(stages.end());
  while (stage != stages.begin() && epoch < stage->begin) --stage;
  if (epoch >= stage->end) return stage->loss;
  const double share =
      static_cast<double>(epoch - stage->begin + 1) / (stage->end - stage->begin + 1);
  LossExpression mixture = stage->loss;
  mixture.terms.clear();
  add(mixture, std::prev(stage)->loss, 1 - share);
  add(mixture, stage->loss, share);
  return mixture;
}

std::vector<int> LossSchedule::samples() const {
  std::vector<int> epochs;
  for (const Stage& stage : stages) {
    if (stage.begin < stage.end) epochs.push_back(stage.begin);
    epochs.push_back(stage.end);
  }
  return epochs;
}

LossSchedule parse_loss_schedule(std::string_view text) {
  const std::size_t first = std::min(text.find(';'), text.size());
  LossSchedule schedule(parse_loss(trimmed(text.substr(0, first))));
  for (std::size_t at = first; at < text.size();) {
    const std::size_t next = std::min(text.find(';', at + 1), text.size());
    const std::string_view written = trimmed(text.substr(at + 1, next - at - 1));
    const LossSchedule::Stage stage = later_stage(written), &before = schedule.stages.back();
    if (stage.begin <= before.end)
      refuse(written, fmt::format("the loss before it is there from epoch {} on", before.end + 1));
    if (stage.loss.ignore != before.loss.ignore)
      refuse(written, "the losses of one run ignore the same label");
    schedule.stages.push_back(stage);
    at = next;
  }
  return schedule;
}

std::string to_string(const LossSchedule& schedule) {
  std::string text;
  for (const LossSchedule::Stage& stage : schedule.stages) {
    if (stage.begin < stage.end)
      text += fmt::format("; {}..{}: ", stage.begin + 1, stage.end + 1);
    else if (!text.empty())
      text += fmt::format("; {}: ", stage.begin + 1);
    text += to_string(stage.loss);
  }
  return text;
}

}  // namespace fjord

// The grammar of loss expressions: terms, options, and where a mistake stands.
#include "engine/loss_table.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace fjord {
namespace {

template <class Named>
std::vector<std::string_view> names_of(const std::vector<Named>& all) {
  std::vector<std::string_view> names;
  for (const Named& one : all) names.push_back(one.name);
  return names;
}

template <class Named>
const Named* find(const std::vector<Named>& all, std::string_view name) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Named& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  LossExpression expression() {
    LossExpression e;
    do {
      e.terms.push_back(term(e));
    } while (eat('+'));
    if (at_ < text_.size()) fail(at_, "expected '+' or the end", "join losses with '+'");
    return e;
  }

 private:
  [[noreturn]] void fail(std::size_t position, std::string_view why,
                         std::string_view remedy) const {
    throw Error(ExitCode::usage, "loss", fmt::format("--loss \"{}\"", printable(text_)),
                fmt::format("position {}: {}", position + 1, why), remedy);
  }
  template <class Named>
  [[noreturn]] void unknown(std::size_t position, std::string_view what, std::string_view name,
                            const std::vector<Named>& all) const {
    const std::vector<std::string_view> names = names_of(all);
    const std::string_view nearest = nearest_name(name, names);
    fail(position,
         name.empty() ? fmt::format("expected {}", what)
                      : fmt::format("there is no {} '{}'", what, printable(name)),
         nearest.empty() || name.empty()
             ? fmt::format("known: {}", fmt::join(names, ", "))
             : fmt::format("did you mean '{}'? Known: {}", nearest, fmt::join(names, ", ")));
  }

  void spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool eat(char wanted) {
    spaces();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    spaces();
    return true;
  }
  void need(char wanted, std::string_view where) {
    if (!eat(wanted))
      fail(at_, fmt::format("expected '{}' {}", wanted, where),
           "write losses as \"0.5*softce(smooth=0.1)\"");
  }
  std::string_view word() {
    spaces();
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) ||
                                  text_[at_] == '_' || text_[at_] == '-'))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }
  double number() {
    spaces();
    double value = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value))
      fail(at_, "expected a finite number", "write numbers as 0.5 or 1e-7");
    at_ += static_cast<std::size_t>(end - begin);
    spaces();
    return value;
  }
  std::vector<double> list() {
    std::vector<double> values;
    if (!eat('[')) return {number()};
    do {
      values.push_back(number());
    } while (eat(','));
    need(']', "after the values of a list");
    return values;
  }
  bool flag() {
    const std::size_t begin = at_;
    const std::string_view value = word();
    if (value == "true" || value == "1") return true;
    if (value == "false" || value == "0") return false;
    fail(begin, "expected true or false", "write per_image=true");
  }

  LossTerm term(LossExpression& e) {
    double weight = 1;
    spaces();
    if (at_ < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[at_])) ||
                               text_[at_] == '.' || text_[at_] == '-')) {
      const std::size_t begin = at_;
      weight = number();
      if (!(weight > 0)) fail(begin, "a weight is above 0", "leave the loss out instead");
      need('*', "after a weight");
    }
    const std::size_t begin = at_;
    const std::string_view name = word();
    const KnownLoss* known = find(known_losses(), name);
    if (!known) unknown(begin, "loss", name, known_losses());
    LossTerm term = fresh_term(known->kind);
    term.weight = weight;
    if (!eat('(') || eat(')')) return term;
    do {
      option(term, e, *known);
    } while (eat(','));
    need(')', "after the options");
    return term;
  }

  void option(LossTerm& term, LossExpression& e, const KnownLoss& known) {
    const std::size_t begin = at_;
    const std::string_view name = word();
    const LossOption* option = find(known.options, name);
    if (!option) unknown(begin, fmt::format("option of {}", known.name), name, known.options);
    need('=', "after an option's name");
    if (option->number)
      term.*option->number = number();
    else if (option->optional)
      term.*option->optional = number();
    else if (option->list)
      term.*option->list = list();
    else if (option->flag)
      term.*option->flag = flag();
    else if (option->name == "ignore")
      ignore(e);
    else
      reduction(term);
  }

  void ignore(LossExpression& e) {
    const std::size_t begin = at_;
    const double value = number();
    if (value != std::floor(value) || value < 0 || value > 255)
      fail(begin, "an ignored label is 0..255", "write ignore=255");
    if (e.ignore && *e.ignore != static_cast<int>(value))
      fail(begin, "the losses of one expression ignore the same label", "give one ignore value");
    e.ignore = static_cast<int>(value);
  }

  void reduction(LossTerm& term) {
    const std::size_t begin = at_;
    const std::string_view value = word();
    if (value != "mean" && value != "sum")
      fail(begin, "a reduction is mean or sum", "write reduction=mean");
    term.sum = value == "sum";
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string written(const LossTerm& term, const KnownLoss& known) {
  const LossTerm fresh = fresh_term(term.kind);
  std::vector<std::string> options;
  for (const LossOption& option : known.options) {
    if (option.number && term.*option.number != fresh.*option.number)
      options.push_back(fmt::format("{}={}", option.name, term.*option.number));
    if (option.optional && term.*option.optional)
      options.push_back(fmt::format("{}={}", option.name, *(term.*option.optional)));
    if (option.list && !(term.*option.list).empty())
      options.push_back(fmt::format("{}=[{}]", option.name, fmt::join(term.*option.list, ", ")));
    if (option.flag && term.*option.flag) options.push_back(fmt::format("{}=true", option.name));
  }
  if (term.sum) options.push_back("reduction=sum");
  const std::string name =
      term.weight == 1 ? std::string(known.name) : fmt::format("{}*{}", term.weight, known.name);
  return options.empty() ? name : fmt::format("{}({})", name, fmt::join(options, ", "));
}

}  // namespace

LossExpression parse_loss(std::string_view text) { return Parser(text).expression(); }

std::string to_string(const LossExpression& expression) {
  std::vector<std::string> terms;
  for (const LossTerm& term : expression.terms)
    for (const KnownLoss& known : known_losses())
      if (known.kind == term.kind) terms.push_back(written(term, known));
  std::string text = fmt::format("{}", fmt::join(terms, " + "));
  if (expression.ignore) text += fmt::format(", ignoring label {}", *expression.ignore);
  if (!expression.class_weights.empty())
    text += fmt::format(", class weights [{}]", fmt::join(expression.class_weights, ", "));
  return text;
}

}  // namespace fjord

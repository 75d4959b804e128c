// The machine that read_pickle runs: a stack, a memo, and what opcodes do to them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/pickle.h"
#include "kernels/error.h"

namespace fjord {

class PickleMachine {
 public:
  PickleMachine(std::string_view file, std::string_view bytes, std::uint64_t offset)
      : file_(file), bytes_(bytes), offset_(offset) {}

  Pickle run() {
    for (std::size_t count = 0;; ++count) {
      demand(count < PickleLimits::operations, "more than {} operations", PickleLimits::operations);
      opcode_at_ = at_;
      const auto opcode = static_cast<unsigned char>(take(1)[0]);
      if (opcode == '.') break;
      step(opcode);
    }
    out_.root_ = pop();
    demand(stack_.empty() && marks_.empty(), "values are left over at its end");
    out_.size_ = at_;
    return std::move(out_);
  }

 private:
  using Value = Pickle::Value;
  using Refs = std::vector<PickleRef>;

  template <class... Args>
  void demand(bool ok, fmt::format_string<Args...> what, Args&&... args) const {
    if (ok) return;
    throw Error(ExitCode::model_file, "pickle", file_,
                fmt::format("byte {}: {}", offset_ + opcode_at_,
                            fmt::format(what, std::forward<Args>(args)...)),
                "get the file again, or save the weights as .safetensors");
  }

  std::string_view take(std::uint64_t count) {
    demand(count <= bytes_.size() - at_, "the pickle is incomplete ({} of at least {} bytes)",
           bytes_.size(), at_ + count);
    const std::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.substr(at_, 1024).find('\n');
    const std::size_t left = bytes_.size() - at_;
    if (end == std::string_view::npos && left < 1024) take(left + 1);  // refuses: it is cut
    demand(end != std::string_view::npos, "a name without an end");
    return take(end + 1).substr(0, end);
  }

  PickleRef add(Value value) {
    out_.values_.push_back(value);
    return static_cast<PickleRef>(out_.values_.size() - 1);
  }
  void push(Value value) { stack_.push_back(add(value)); }
  void push_plain(PickleKind kind, std::int64_t integer = 0) {
    Value value;
    value.kind = kind;
    value.integer = integer;
    push(value);
  }
  void push_text(PickleKind kind, std::string_view text) {
    Value value;
    value.kind = kind;
    value.text = text.data();
    value.length = static_cast<std::uint32_t>(text.size());
    push(value);
  }
  void push_text(PickleKind kind, std::uint64_t length) {
    demand(length <= PickleLimits::text, "a text of {} bytes, {} are allowed", length,
           PickleLimits::text);
    push_text(kind, take(length));
  }
  void push_container(PickleKind kind, Refs items) {
    count_items(items.size());
    Value value;
    value.kind = kind;
    value.container = out_.containers_.size();
    out_.containers_.push_back(std::move(items));
    for (const PickleRef item : out_.containers_.back()) deepen(value, item);
    push(value);
  }
  // A call may copy a container that was written once, so what is written does not bound memory.
  void count_items(std::size_t count) {
    items_ += count;
    demand(items_ <= PickleLimits::items, "containers of more than {} items", PickleLimits::items);
  }
  void deepen(Value& container, PickleRef item) const {
    const int depth = out_.values_[item].depth + 1;
    demand(depth <= static_cast<int>(PickleLimits::depth), "containers nested more than {} deep",
           PickleLimits::depth);
    container.depth = std::max(container.depth, static_cast<std::uint8_t>(depth));
  }

  // What stands below the last mark is out of reach until the mark is taken.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleRef pop() {
    demand(stack_.size() > floor(), "it takes a value from an empty stack");
    const PickleRef value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleRef top() const {
    demand(stack_.size() > floor(), "it uses a value of an empty stack");
    return stack_.back();
  }
  Refs pop_items(std::size_t count) {
    demand(stack_.size() - floor() >= count, "it takes {} values from a stack of {}", count,
           stack_.size() - floor());
    Refs items(stack_.end() - static_cast<long>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  Refs pop_to_mark() {
    demand(!marks_.empty(), "it looks for a mark that nobody set");
    const std::size_t begin = marks_.back();
    marks_.pop_back();
    return pop_items(stack_.size() - begin);
  }

  void step(unsigned char opcode);
  void protocol(int number) const;
  void constant(unsigned char opcode);
  bool text(unsigned char opcode);
  bool container(unsigned char opcode);
  void append(const Refs& items, PickleKind kind);
  void remember(std::uint64_t slot);
  void recall(std::uint64_t slot);
  void global();
  void reduce();
  void build();
  void long_integer(std::uint64_t length);

  std::string_view file_, bytes_;
  std::uint64_t offset_;
  std::size_t at_ = 0, opcode_at_ = 0, items_ = 0;
  std::vector<PickleRef> stack_, memo_;
  std::vector<std::size_t> marks_;
  Pickle out_;
};

}  // namespace fjord

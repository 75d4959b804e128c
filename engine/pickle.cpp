// The data-only pickle machine: one function per kind of opcode.
#include "engine/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "engine/pickle_names.h"
#include "kernels/error.h"

namespace fjord {

using Kind = PickleKind;

std::string_view Pickle::text(PickleRef value) const {
  const Value& v = values_[value];
  const bool has = v.kind == Kind::text || v.kind == Kind::bytes || v.kind == Kind::name ||
                   v.kind == Kind::long_integer;
  return has ? std::string_view(v.text, v.length) : std::string_view();
}

const std::vector<PickleRef>& Pickle::items(PickleRef value) const {
  static const std::vector<PickleRef> none;
  const Value& v = values_[value];
  const bool has = v.kind == Kind::tuple || v.kind == Kind::list || v.kind == Kind::set ||
                   v.kind == Kind::dict || v.kind == Kind::storage || v.kind == Kind::tensor;
  return has ? containers_[v.container] : none;
}

const PickleRef* Pickle::find(PickleRef dict, std::string_view key) const {
  if (kind(dict) != Kind::dict) return nullptr;
  const std::vector<PickleRef>& all = items(dict);
  for (std::size_t i = 0; i + 1 < all.size(); i += 2)
    if (kind(all[i]) == Kind::text && text(all[i]) == key) return &all[i + 1];
  return nullptr;
}

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
    demand(count <= bytes_.size() - at_, "it ends early: {} bytes wanted, {} are left", count,
           bytes_.size() - at_);
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
    demand(end != std::string_view::npos, "a name without an end");
    return take(end + 1).substr(0, end);
  }

  PickleRef add(Value value) {
    out_.values_.push_back(value);
    return static_cast<PickleRef>(out_.values_.size() - 1);
  }
  void push(Value value) { stack_.push_back(add(value)); }
  void push_plain(Kind kind, std::int64_t integer = 0) {
    Value value;
    value.kind = kind;
    value.integer = integer;
    push(value);
  }
  void push_text(Kind kind, std::string_view text) {
    Value value;
    value.kind = kind;
    value.text = text.data();
    value.length = static_cast<std::uint32_t>(text.size());
    push(value);
  }
  void push_text(Kind kind, std::uint64_t length) {
    demand(length <= PickleLimits::text, "a text of {} bytes, {} are allowed", length,
           PickleLimits::text);
    push_text(kind, take(length));
  }
  void push_container(Kind kind, Refs items) {
    Value value;
    value.kind = kind;
    value.container = out_.containers_.size();
    out_.containers_.push_back(std::move(items));
    for (const PickleRef item : out_.containers_.back()) deepen(value, item);
    push(value);
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
  void constant(unsigned char opcode);
  bool text(unsigned char opcode);
  bool container(unsigned char opcode);
  void append(const Refs& items, Kind kind);
  void remember(std::uint64_t slot);
  void recall(std::uint64_t slot);
  void global();
  void reduce();
  void build();
  void long_integer(std::uint64_t length);

  std::string_view file_, bytes_;
  std::uint64_t offset_;
  std::size_t at_ = 0, opcode_at_ = 0;
  std::vector<PickleRef> stack_, memo_;
  std::vector<std::size_t> marks_;
  Pickle out_;
};

void PickleMachine::step(unsigned char opcode) {
  if (text(opcode) || container(opcode)) return;
  switch (opcode) {
    case 0x80: {  // PROTO
      const int protocol = number<std::uint8_t>();
      return demand(protocol >= 2 && protocol <= 5, "protocol {}, 2 to 5 are read", protocol);
    }
    case 0x95:  // FRAME
      return demand(number<std::uint64_t>() <= bytes_.size() - at_, "a frame beyond its end");
    case 'c':
      return global();
    case 'R':
    case 0x81:  // NEWOBJ: an object of a known class, likewise
      return reduce();
    case 'b':
      return build();
    case 'Q': {  // BINPERSID
      const PickleRef id = pop();
      demand(out_.kind(id) == Kind::tuple, "a storage that is not described by a tuple");
      return push_container(Kind::storage, out_.items(id));
    }
    case 'q':
      return remember(number<std::uint8_t>());
    case 'r':
      return remember(number<std::uint32_t>());
    case 0x94:  // MEMOIZE
      return remember(memo_.size());
    case 'h':
      return recall(number<std::uint8_t>());
    case 'j':
      return recall(number<std::uint32_t>());
    default:
      return constant(opcode);
  }
}

void PickleMachine::constant(unsigned char opcode) {
  switch (opcode) {
    case 'N':
      return push_plain(Kind::none);
    case 0x88:
      return push_plain(Kind::boolean, 1);
    case 0x89:
      return push_plain(Kind::boolean, 0);
    case 'J':
      return push_plain(Kind::integer, number<std::int32_t>());
    case 'K':
      return push_plain(Kind::integer, number<std::uint8_t>());
    case 'M':
      return push_plain(Kind::integer, number<std::uint16_t>());
    case 0x8a:
      return long_integer(number<std::uint8_t>());
    case 0x8b:
      return long_integer(number<std::uint32_t>());
    case 'G':  // highest byte first
      return push_plain(Kind::real,
                        static_cast<std::int64_t>(__builtin_bswap64(number<std::uint64_t>())));
    default:
      demand(false, "opcode 0x{:02x} is not one that files of weights need; nothing was run",
             opcode);
  }
}

void PickleMachine::long_integer(std::uint64_t length) {
  demand(length <= PickleLimits::long_bytes, "an integer of {} bytes", length);
  const std::string_view digits = take(length);
  if (length > 8) return push_text(Kind::long_integer, digits);
  std::uint64_t value = !digits.empty() && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
  for (std::size_t i = digits.size(); i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(digits[i]);
  push_plain(Kind::integer, std::bit_cast<std::int64_t>(value));
}

bool PickleMachine::text(unsigned char opcode) {
  switch (opcode) {
    case 'X':
      push_text(Kind::text, number<std::uint32_t>());
      return true;
    case 0x8c:
    case 'U':
      push_text(Kind::text, number<std::uint8_t>());
      return true;
    case 'T':
      push_text(Kind::text, number<std::uint32_t>());
      return true;
    case 'B':
      push_text(Kind::bytes, number<std::uint32_t>());
      return true;
    case 'C':
      push_text(Kind::bytes, number<std::uint8_t>());
      return true;
    default:
      return false;
  }
}

bool PickleMachine::container(unsigned char opcode) {
  switch (opcode) {
    case '(':
      demand(marks_.size() < PickleLimits::depth, "marks nested more than {} deep",
             PickleLimits::depth);
      marks_.push_back(stack_.size());
      return true;
    case ')':
      push_container(Kind::tuple, {});
      return true;
    case ']':
      push_container(Kind::list, {});
      return true;
    case '}':
      push_container(Kind::dict, {});
      return true;
    case 0x8f:
      push_container(Kind::set, {});
      return true;
    case 't':
      push_container(Kind::tuple, pop_to_mark());
      return true;
    case 0x85:
    case 0x86:
    case 0x87:
      push_container(Kind::tuple, pop_items(opcode - 0x84u));
      return true;
    case 'a':
      append(pop_items(1), Kind::list);
      return true;
    case 'e':
      append(pop_to_mark(), Kind::list);
      return true;
    case 's':
      append(pop_items(2), Kind::dict);
      return true;
    case 'u':
      append(pop_to_mark(), Kind::dict);
      return true;
    case 0x90:
      append(pop_to_mark(), Kind::set);
      return true;
    default:
      return false;
  }
}

void PickleMachine::append(const Refs& items, Kind kind) {
  Value& target = out_.values_[top()];
  demand(target.kind == kind, "it adds items to a value that takes none");
  demand(kind != Kind::dict || items.size() % 2 == 0, "a key without a value");
  for (const PickleRef item : items) deepen(target, item);
  Refs& all = out_.containers_[target.container];
  all.insert(all.end(), items.begin(), items.end());
}

void PickleMachine::remember(std::uint64_t slot) {
  demand(slot == memo_.size(), "it remembers value {} where {} is next", slot, memo_.size());
  demand(memo_.size() < PickleLimits::memo, "more than {} values to remember", PickleLimits::memo);
  memo_.push_back(top());
}

void PickleMachine::recall(std::uint64_t slot) {
  demand(slot < memo_.size(), "it recalls value {} of {}", slot, memo_.size());
  stack_.push_back(memo_[slot]);
}

// Module and name stand on a line each; joined by the end of the first, which reads as a space.
void PickleMachine::global() {
  const std::string_view module = line(), name = line();
  const std::string joined = fmt::format("{} {}", module, name);
  if (!pickle_name(joined)) refuse_name(file_, joined, offset_ + opcode_at_);
  push_text(Kind::name, std::string_view(module.data(), module.size() + 1 + name.size()));
}

void PickleMachine::reduce() {
  const PickleRef arguments = pop(), callee = pop();
  demand(out_.kind(callee) == Kind::name && out_.kind(arguments) == Kind::tuple,
         "it calls a value that is no name");
  std::string name(out_.text(callee));
  std::ranges::replace(name, '\n', ' ');
  const Refs given = out_.items(arguments);
  const PickleName meaning = pickle_name(name).value_or(PickleName::type);
  const auto items_of = [&](std::size_t argument) {
    return argument < given.size() ? out_.items(given[argument]) : Refs{};
  };
  switch (meaning) {
    case PickleName::dict: {
      Refs pairs;
      if (!given.empty() && out_.kind(given[0]) == Kind::list)
        for (const PickleRef pair : items_of(0)) {
          const Refs& both = out_.items(pair);
          demand(both.size() == 2, "{} of something else than pairs", name);
          pairs.insert(pairs.end(), both.begin(), both.end());
        }
      return push_container(Kind::dict, std::move(pairs));
    }
    case PickleName::set:
      return push_container(Kind::set, items_of(0));
    case PickleName::tuple:
      return push_container(Kind::tuple, items_of(0));
    case PickleName::tensor:
      return push_container(Kind::tensor, given);
    case PickleName::parameter:
      demand(!given.empty() && out_.kind(given[0]) == Kind::tensor, "a parameter of no tensor");
      return stack_.push_back(given[0]);
    case PickleName::other:
      return push_plain(Kind::other);
    case PickleName::type:
      break;
  }
  demand(false, "it calls {}, which is no function", printable(name));
}

// State of a dictionary (a state_dict's _metadata) or of a value of no use here is passed over.
void PickleMachine::build() {
  pop();
  const Kind kind = out_.kind(top());
  demand(kind == Kind::dict || kind == Kind::other, "it sets the state of a value that has none");
}

Pickle read_pickle(std::string_view file, std::string_view bytes, std::uint64_t offset) {
  return PickleMachine(file, bytes, offset).run();
}

}  // namespace fjord

// What each opcode does: one function per kind of opcode.
#include "engine/pickle_machine.h"

#include <bit>

#include "engine/pickle_names.h"

namespace fjord {

using Kind = PickleKind;

void PickleMachine::step(unsigned char opcode) {
  if (text(opcode) || container(opcode)) return;
  switch (opcode) {
    case 0x80:  // PROTO
      return protocol(number<std::uint8_t>());
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
    case 'h':
      return recall(number<std::uint8_t>());
    case 'j':
      return recall(number<std::uint32_t>());
    default:
      return constant(opcode);
  }
}

void PickleMachine::protocol(int number) const {
  if (number == 2 || number == 3) return;
  throw Error(ExitCode::model_file, "pickle", file_,
              fmt::format("byte {}: pickle protocol {}; 2, which torch.save writes, and 3 are read",
                          offset_ + opcode_at_, number),
              "in Python: torch.save(torch.load(file), 'weights.pth') without pickle_protocol");
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
    default:
      return false;
  }
}

void PickleMachine::append(const Refs& items, Kind kind) {
  Value& target = out_.values_[top()];
  demand(target.kind == kind, "it adds items to a value that takes none");
  demand(kind != Kind::dict || items.size() % 2 == 0, "a key without a value");
  for (const PickleRef item : items) deepen(target, item);
  count_items(items.size());
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

}  // namespace fjord

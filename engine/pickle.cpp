// Values of a pickle, and reading one.
#include "engine/pickle.h"

#include "engine/pickle_machine.h"

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

Pickle read_pickle(std::string_view file, std::string_view bytes, std::uint64_t offset) {
  return PickleMachine(file, bytes, offset).run();
}

}  // namespace fjord

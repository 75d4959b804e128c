// Images with the same bytes in two splits, found without reading most of them.
#include <algorithm>
#include <functional>
#include <map>

#include "data/dataset.h"
#include "data/files.h"

namespace fjord {

namespace {

struct Entry {
  const Split* split;
  const std::filesystem::path* path;
};
using Group = std::vector<Entry>;  // files that may be equal

bool across_splits(const Group& group) {
  return std::any_of(group.begin(), group.end(),
                     [&](const Entry& entry) { return entry.split != group.front().split; });
}

// Parts each group by a key; what lies in one split alone is of no interest.
std::vector<Group> refine(const std::vector<Group>& groups,
                          const std::function<std::uint64_t(const std::filesystem::path&)>& key) {
  std::vector<Group> finer;
  for (const Group& group : groups) {
    std::map<std::uint64_t, Group> by_key;
    for (const Entry& entry : group) by_key[key(*entry.path)].push_back(entry);
    for (auto& [value, same] : by_key)
      if (across_splits(same)) finer.push_back(std::move(same));
  }
  return finer;
}

Fault leak_of(const Entry& first, const Entry& other) {
  return {.slug = "leak",
          .what = printable(first.path->native()) + " and " + printable(other.path->native()) +
                  ": the same bytes",
          .why = fmt::format("an image of {} is also in {}, so its score says nothing about new "
                             "images",
                             first.split->name, other.split->name),
          .remedy = "remove one of the two pairs"};
}

}  // namespace

std::vector<Fault> find_leaks(const Dataset& data) {
  std::vector<Group> groups(1);
  for (const Split& split : data.splits)
    for (const Sample& sample : split.samples) groups[0].push_back({&split, &sample.image});
  groups = refine(groups, [](const std::filesystem::path& path) {
    std::error_code failed;
    return static_cast<std::uint64_t>(std::filesystem::file_size(path, failed));
  });
  groups = refine(groups, [](const auto& path) { return hash_file(path, 1 << 16); });
  groups = refine(groups, [](const auto& path) { return hash_file(path); });
  std::vector<Fault> faults;
  for (const Group& group : groups) {
    const auto other = std::find_if(group.begin(), group.end(), [&](const Entry& entry) {
      return entry.split != group.front().split;
    });
    faults.push_back(leak_of(group.front(), *other));
  }
  return faults;
}

}  // namespace fjord

// Finding images and labels by name, and every way in which a folder can disappoint.
#include "data/dataset.h"

#include <algorithm>
#include <map>

#include "data/files.h"
#include "kernels/rng.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

std::string shown(const fs::path& path) { return printable(path.native()); }

bool is_folder(const fs::path& path) {
  std::error_code failed;
  return fs::is_directory(path, failed);
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

// The names that a fault lists: the first 20, then how many there are.
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i ? ", " : "") + names[i];
  if (names.size() > kShown) text += fmt::format(", and {} more", names.size() - kShown);
  return text;
}

struct LabelsFolder {
  fs::path path;
  std::string name;  // labels or masks
};

LabelsFolder labels_of(const fs::path& folder) {
  const bool labels = is_folder(folder / "labels"), masks = is_folder(folder / "masks");
  if (labels && masks)
    throw Error(ExitCode::dataset, "dataset-layout", shown(folder) + ": has labels/ and masks/",
                "only one of them can be paired with images/", "move one of the two elsewhere");
  if (masks) return {folder / "masks", "masks"};
  return {folder / "labels", "labels"};
}

bool is_split(const fs::path& folder) {
  return is_folder(folder / "images") &&
         (is_folder(folder / "labels") || is_folder(folder / "masks"));
}

// What a folder contains, for the message of a layout that is not understood.
std::string contents(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed))
    names.push_back(printable(entry->path().filename().native()) +
                    (is_folder(entry->path()) ? "/" : ""));
  std::sort(names.begin(), names.end());
  return names.empty() ? "it is empty" : "it has " + some_of(names);
}

using Stems = std::map<std::string, fs::path>;

// Image files of a folder by stem; what can't be one of them becomes a fault or a note.
Stems stems_of(const fs::path& folder, std::vector<Fault>& faults,
               std::vector<std::string>& notes) {
  Stems stems;
  std::map<std::string, fs::path> folded;
  std::vector<std::string> ignored;
  for (const FileEntry& entry : list_files(folder, faults)) {
    const fs::path& path = entry.path;
    if (!entry.regular || !has_image_extension(path)) {
      ignored.push_back(printable(path.filename().native()));
      continue;
    }
    const std::string stem = path.stem().native();
    const auto [first, fresh] = folded.emplace(lower(stem), path);
    if (!fresh) {
      faults.push_back({.slug = "duplicate-stem",
                        .what = shown(first->second) + " and " + shown(path) + ": one stem",
                        .why = first->second.stem() == path.stem()
                                   ? "an image and its label are paired by stem"
                                   : "they differ in case alone, which not every disk keeps apart",
                        .remedy = "rename or remove one of them"});
      continue;
    }
    stems.emplace(stem, path);
  }
  if (!ignored.empty())
    notes.push_back(
        fmt::format("{}: left out what is no image: {}", shown(folder), some_of(ignored)));
  return stems;
}

void report_unpaired(const fs::path& folder, const std::vector<std::string>& names,
                     std::string_view have, std::string_view lack, std::string_view where,
                     std::vector<Fault>& faults) {
  if (names.empty()) return;
  faults.push_back(
      {.slug = "unpaired",
       .what = fmt::format("{}: {} {}{} without {}: {}", shown(folder), names.size(), have,
                           names.size() == 1 ? "" : "s", lack, some_of(names)),
       .why = "an image and its label are paired by stem",
       .remedy = fmt::format("add the missing files to {} or move these away", where)});
}

Split pair_up(const fs::path& folder, std::string name, std::vector<Fault>& faults,
              std::vector<std::string>& notes) {
  const LabelsFolder labels = labels_of(folder);
  const Stems images = stems_of(folder / "images", faults, notes);
  const Stems label_files = stems_of(labels.path, faults, notes);
  Split split{std::move(name), folder, {}};
  std::vector<std::string> no_label, no_image;
  for (const auto& [stem, path] : images) {
    const auto label = label_files.find(stem);
    if (label == label_files.end())
      no_label.push_back(printable(path.filename().native()));
    else
      split.samples.push_back({stem, path, label->second});
  }
  for (const auto& [stem, path] : label_files)
    if (!images.count(stem)) no_image.push_back(printable(path.filename().native()));
  report_unpaired(folder / "images", no_label, "image", "a label", labels.name + "/", faults);
  report_unpaired(labels.path, no_image, "label", "an image", "images/", faults);
  if (split.samples.empty() && no_label.empty() && no_image.empty() && faults.empty())
    faults.push_back(
        {.slug = "no-images",
         .what = shown(folder / "images") + ": no image files",
         .why = "looked for png, jpg, jpeg, tif, tiff, bmp, gif, psd, pnm, pgm, ppm "
                "and tga",
         .remedy = fmt::format("put images there and their labels in {}/ beside it", labels.name)});
  return split;
}

void require_folder(const fs::path& path) {
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (status.type() == fs::file_type::not_found)
    throw Error(ExitCode::dataset, "dataset-missing", shown(path) + ": no such folder",
                "a data set is a folder with train/ and val/, or images/ and labels/",
                "check the path");
  if (failed)
    throw Error(ExitCode::dataset, "dataset-unreadable", shown(path) + ": can't be looked into",
                failed.message(), "check its permissions");
  if (status.type() != fs::file_type::directory)
    throw Error(ExitCode::dataset, "dataset-not-folder", shown(path) + ": not a folder",
                "a data set is a folder with train/ and val/, or images/ and labels/",
                "give the folder that holds them");
}

[[noreturn]] void throw_layout(const fs::path& path) {
  throw Error(ExitCode::dataset, "dataset-layout", shown(path) + ": no data set",
              "looked for train/images and val/images, or images/ with labels/ (or masks/); " +
                  contents(path),
              "arrange the files so; fjord-data synth DIR draws an example");
}

// A number in [0, 1) that depends on the bytes of the stem and the seed alone.
double split_draw(const std::string& stem, std::uint64_t seed) {
  const RandomWords words =
      Philox{seed}(hash_bytes(stem.data(), stem.size()),
                   std::uint64_t{static_cast<std::uint32_t>(Draw::split)} << 32);
  return uniform(words[0]);
}

void split_by_hash(Split all, SplitOptions options, Dataset& data, std::vector<Fault>& faults) {
  if (!(options.val_fraction > 0 && options.val_fraction < 1))
    throw Error(ExitCode::usage, "val-fraction",
                fmt::format("--val-fraction {}", options.val_fraction),
                "it is the part of the pairs used for validation, above 0 and below 1",
                "use --val-fraction 0.1");
  Split train{"train", all.root, {}}, val{"val", all.root, {}};
  for (Sample& sample : all.samples)
    (split_draw(sample.stem, options.seed) < options.val_fraction ? val : train)
        .samples.push_back(std::move(sample));
  // A small set may leave one side empty: it gets the sample that is nearest to the limit.
  const auto nearer = [&](const Sample& a, const Sample& b) {
    return split_draw(a.stem, options.seed) < split_draw(b.stem, options.seed);
  };
  const auto move_one = [](std::vector<Sample>& from, std::vector<Sample>& to, auto which) {
    to.push_back(std::move(*which));
    from.erase(which);
  };
  if (val.samples.empty() && train.samples.size() > 1)
    move_one(train.samples, val.samples,
             std::min_element(train.samples.begin(), train.samples.end(), nearer));
  else if (train.samples.empty() && val.samples.size() > 1)
    move_one(val.samples, train.samples,
             std::max_element(val.samples.begin(), val.samples.end(), nearer));
  else if (train.samples.size() + val.samples.size() == 1)
    faults.push_back({.slug = "too-few",
                      .what = shown(all.root) + ": a single pair",
                      .why = "training and validation need one each at least",
                      .remedy = "add pairs, or arrange train/ and val/"});
  data.notes.push_back(fmt::format(
      "no train/ and val/: split by a hash of the stem, --val-fraction {} --seed {}: {} train, "
      "{} val",
      options.val_fraction, options.seed, train.samples.size(), val.samples.size()));
  data.splits = {std::move(train), std::move(val)};
}

Dataset scan(const fs::path& path, SplitOptions options, std::vector<Fault>& faults) {
  require_folder(path);
  Dataset data{path, {}, {}};
  if (is_folder(path / "train")) {
    for (const char* name : {"train", "val", "test"}) {
      const fs::path folder = path / name;
      if (is_split(folder)) {
        data.splits.push_back(pair_up(folder, name, faults, data.notes));
      } else if (is_folder(folder) || std::string_view(name) == "val") {
        const bool there = is_folder(folder);
        faults.push_back(
            {.slug = "dataset-layout",
             .what = shown(folder) + (there ? ": no split" : ": no such folder"),
             .why = there ? "a split has images/ and labels/ (or masks/); " + contents(folder)
                          : "every epoch is validated on pairs kept out of training",
             .remedy = there ? "arrange the files so"
                             : "move some pairs to val/images and val/labels, or give " +
                                   shown(path / "train") + " with --val-fraction 0.1"});
      }
    }
    return data;
  }
  if (!is_split(path)) throw_layout(path);
  split_by_hash(pair_up(path, "all", faults, data.notes), options, data, faults);
  return data;
}

void throw_first(const std::vector<Fault>& faults) {
  for (const Fault& fault : faults)
    if (fault.severity == Fault::Severity::error) throw_fault(fault);
}

}  // namespace

std::string Fault::line() const { return what + " - " + why + " - " + remedy; }

void throw_fault(const Fault& fault) {
  throw Error(ExitCode::dataset, fault.slug, fault.what, fault.why, fault.remedy);
}

const Split* Dataset::find(std::string_view name) const {
  for (const Split& split : splits)
    if (split.name == name) return &split;
  return nullptr;
}

const Split& Dataset::at(std::string_view name) const {
  if (const Split* split = find(name)) return *split;
  throw Error(ExitCode::dataset, "no-split", fmt::format("{}: no {}/", shown(root), name),
              "this needs that part of the data set", "add it with images/ and labels/");
}

Dataset open_dataset(const fs::path& path, SplitOptions options) {
  std::vector<Fault> faults;
  Dataset data = scan(path, options, faults);
  throw_first(faults);
  return data;
}

Dataset survey_dataset(const fs::path& path, SplitOptions options, std::vector<Fault>& faults) {
  return scan(path, options, faults);
}

Split open_split(const fs::path& folder, std::vector<std::string>& notes) {
  require_folder(folder);
  if (!is_split(folder)) {
    const bool dataset = is_folder(folder / "val") || is_folder(folder / "test");
    if (!dataset) throw_layout(folder);
    throw Error(ExitCode::dataset, "dataset-layout", shown(folder) + ": a whole data set",
                "one split is scored at a time",
                "give " + shown(folder / (is_folder(folder / "test") ? "test" : "val")));
  }
  std::vector<Fault> faults;
  std::string name = folder.filename().native();
  if (name.empty()) name = folder.parent_path().filename().native();
  Split split = pair_up(folder, name, faults, notes);
  throw_first(faults);
  return split;
}

}  // namespace fjord

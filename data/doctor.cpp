// The doctor reads every file of a data set once and collects what is wrong.
#include "data/doctor.h"

#include <algorithm>
#include <optional>
#include <set>

#include "data/image.h"
#include "data/sample.h"

namespace fjord {

namespace {

std::string name_of(const std::filesystem::path& path) { return printable(path.native()); }

std::string size_text(int height, int width) { return fmt::format("{}x{}", width, height); }

std::string type_text(DType dtype) {
  return dtype == DType::u8 ? "8-bit" : dtype == DType::u16 ? "16-bit" : "float";
}

// An Error's line, taken apart again for the report.
Fault fault_of(const Error& error) {
  const std::string line = error.what();
  const std::size_t begin = line.find("] ") + 2;
  const std::size_t last = line.rfind(" - ");
  const std::size_t middle =
      last == std::string::npos || last < begin ? last : line.rfind(" - ", last - 1);
  if (middle == std::string::npos || middle < begin)
    return {.slug = error.slug, .what = line.substr(begin), .why = "", .remedy = ""};
  return {.slug = error.slug,
          .what = line.substr(begin, middle - begin),
          .why = line.substr(middle + 3, last - middle - 3),
          .remedy = line.substr(last + 3)};
}

// What one pair showed.
struct Finding {
  std::optional<ImageInfo> image;
  std::vector<std::int64_t> class_pixels;  // empty where the label could not be used
  std::int64_t ignored_pixels = 0;
  std::vector<Fault> faults;
  std::vector<std::string> notes;
};

template <class Check>
bool passes(Finding& finding, Check check) {
  try {
    check();
    return true;
  } catch (const Error& error) {
    finding.faults.push_back(fault_of(error));
    return false;
  }
}

// Image and label are checked apart, so that one's fault does not hide the other's.
Finding examine(const Sample& sample, const LabelMap& labels) {
  Finding finding;
  passes(finding, [&] {
    const Image image = read_image(sample.image);
    ImageInfo& info = finding.image.emplace();
    info.height = image.height, info.width = image.width, info.bands = image.bands;
    info.dtype = image.dtype, info.format = image.format, info.orientation = image.orientation;
    for (const std::string& note : image.notes) finding.notes.push_back("images: " + note);
  });
  std::optional<Image> label;
  if (!passes(finding, [&] { label = read_label(labels, sample.label); })) return finding;
  for (const std::string& note : label->notes) finding.notes.push_back("labels: " + note);
  if (finding.image)
    passes(finding, [&] {
      check_label_size(sample, finding.image->height, finding.image->width, label->height,
                       label->width);
    });
  passes(finding, [&] {
    const auto classes = to_classes(labels, *label, sample.label, finding.notes);
    finding.class_pixels.assign(static_cast<std::size_t>(labels.classes), 0);
    for (const std::uint8_t k : classes)
      ++(k == kIgnore ? finding.ignored_pixels : finding.class_pixels[k]);
  });
  return finding;
}

void add(SplitSummary& summary, const Finding& finding) {
  if (finding.image && !finding.class_pixels.empty()) ++summary.pairs;
  if (finding.image) {
    ++summary.sizes[size_text(finding.image->height, finding.image->width)];
    ++summary.bands[finding.image->bands];
    ++summary.types[type_text(finding.image->dtype)];
    ++summary.formats[std::string(to_string(finding.image->format))];
    summary.turned += finding.image->orientation != 1;
  }
  if (finding.class_pixels.empty()) return;
  std::int64_t foreground = 0;
  for (std::size_t k = 0; k < finding.class_pixels.size(); ++k) {
    summary.class_pixels[k] += finding.class_pixels[k];
    if (k > 0) foreground += finding.class_pixels[k];
  }
  summary.ignored_pixels += finding.ignored_pixels;
  summary.empty_labels += foreground == 0;
}

void warn(DoctorReport& report, std::string slug, std::string what, std::string why,
          std::string remedy) {
  report.faults.push_back({Fault::Severity::warning, std::move(slug), std::move(what),
                           std::move(why), std::move(remedy)});
}

// Classes that a split lacks, labels without foreground.
void judge_classes(DoctorReport& report, const SplitSummary& summary) {
  if (summary.pairs == 0) return;
  for (std::size_t k = 0; k < summary.class_pixels.size(); ++k) {
    if (summary.class_pixels[k] > 0) continue;
    const std::string what = fmt::format("{}: no pixel of class {}", summary.name, k);
    if (summary.name == "train")
      report.faults.push_back({.slug = "absent-class",
                               .what = what,
                               .why = "a class that training never shows can't be learned",
                               .remedy = "add such labels, or leave the class out by --labels"});
    else
      warn(report, "absent-class", what, "its scores there say nothing about it",
           "move some pairs that have it here");
  }
  if (summary.empty_labels > 0)
    warn(report, "empty-label",
         fmt::format("{}: {} of {} labels are background alone", summary.name, summary.empty_labels,
                     summary.pairs),
         "that is fine where nothing is there to see", "look at some of them");
}

template <class Key>
std::string counts_text(const std::map<Key, std::int64_t>& counts) {
  std::string text;
  std::size_t listed = 0;
  for (const auto& [key, count] : counts) {
    if (listed++ == 8) return text + fmt::format(", and {} more", counts.size() - 8);
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", key, count);
  }
  return text;
}

// Over all splits: what one model can't read together.
void judge_mixture(DoctorReport& report) {
  std::map<int, std::int64_t> bands;
  std::map<std::string, std::int64_t> types;
  for (const SplitSummary& split : report.splits) {
    for (const auto& [key, count] : split.bands) bands[key] += count;
    for (const auto& [key, count] : split.types) types[key] += count;
  }
  if (bands.size() > 1)
    report.faults.push_back({.slug = "mixed-bands",
                             .what = "images differ in bands: " + counts_text(bands),
                             .why = "a model reads one number of bands",
                             .remedy = "convert the images to one of them"});
  if (types.size() > 1)
    report.faults.push_back({.slug = "mixed-types",
                             .what = "images differ in bit depth: " + counts_text(types),
                             .why = "one range of values is normalised alike",
                             .remedy = "convert the images to one of them"});
}

LabelMap labels_of(const LabelOptions& options, const Dataset& data) {
  try {
    return label_map_of(options, data.splits);
  } catch (const Error& error) {
    // An unreadable label is found again, with all others, in the pass over the files.
    if (error.exit == ExitCode::usage) throw;
    return LabelMap::binary(255);
  }
}

}  // namespace

double SplitSummary::class_share(int k) const {
  double total = 0;
  for (const std::int64_t pixels : class_pixels) total += static_cast<double>(pixels);
  return total == 0 ? 0 : static_cast<double>(class_pixels[static_cast<std::size_t>(k)]) / total;
}

std::int64_t DoctorReport::errors() const {
  return std::count_if(faults.begin(), faults.end(),
                       [](const Fault& fault) { return fault.severity == Fault::Severity::error; });
}

std::int64_t DoctorReport::warnings() const {
  return static_cast<std::int64_t>(faults.size()) - errors();
}

DoctorReport examine_dataset(const std::filesystem::path& path, const DoctorOptions& options) {
  DoctorReport report;
  const Dataset data = survey_dataset(path, options.split, report.faults);
  report.notes = data.notes;
  report.labels = labels_of(options.labels, data);
  std::set<std::string> said;
  for (const Split& split : data.splits) {
    const auto count = static_cast<std::int64_t>(split.samples.size());
    std::vector<Finding> findings(split.samples.size());
    for_each_sample(count, options.threads, [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      findings[at] = examine(split.samples[at], report.labels);
    });
    SplitSummary summary;
    summary.name = split.name;
    summary.class_pixels.resize(static_cast<std::size_t>(report.labels.classes));
    for (const Finding& finding : findings) {
      add(summary, finding);
      report.faults.insert(report.faults.end(), finding.faults.begin(), finding.faults.end());
      for (const std::string& note : finding.notes)
        if (said.insert(note).second) report.notes.push_back(note);
    }
    report.splits.push_back(std::move(summary));
  }
  const std::vector<Fault> leaks = find_leaks(data);
  report.faults.insert(report.faults.end(), leaks.begin(), leaks.end());
  judge_mixture(report);
  for (const SplitSummary& summary : report.splits) judge_classes(report, summary);
  std::stable_partition(report.faults.begin(), report.faults.end(), [](const Fault& fault) {
    return fault.severity == Fault::Severity::error;
  });
  return report;
}

std::string to_text(const DoctorReport& report) {
  std::string text;
  for (const SplitSummary& split : report.splits) {
    text += fmt::format("{}: {} pairs, {}, {}, bands {}, size {}\n", split.name, split.pairs,
                        counts_text(split.formats), counts_text(split.types),
                        counts_text(split.bands), counts_text(split.sizes));
    for (int k = 0; k < report.labels.classes && split.pairs > 0; ++k)
      text += fmt::format("  class {}: {:.2f} % of pixels\n", k, 100 * split.class_share(k));
    if (split.ignored_pixels > 0)
      text += fmt::format("  ignored: {} pixels\n", split.ignored_pixels);
    if (split.turned > 0)
      text += fmt::format("  turned by their EXIF orientation: {} images\n", split.turned);
  }
  text += fmt::format("labels: {}\n", report.labels.text());
  for (const std::string& note : report.notes) text += fmt::format("note: {}\n", note);
  for (const Fault& fault : report.faults)
    text +=
        fmt::format("{}[E-{}] {}\n", fault.severity == Fault::Severity::error ? "error" : "warning",
                    fault.slug, fault.line());
  text += fmt::format("{} errors, {} warnings\n", report.errors(), report.warnings());
  return text;
}

namespace {

// Grey may stand beside RGB where 3 channels are asked for: it is repeated.
bool alike(const ImageInfo& a, const ImageInfo& b, int in_channels) {
  const auto bands = [&](const ImageInfo& image) {
    return image.bands == 1 && in_channels == 3 ? 3 : image.bands;
  };
  return bands(a) == bands(b) && a.dtype == b.dtype;
}

std::string kind_text(const ImageInfo& image) {
  return fmt::format("{} band{} of {}", image.bands, image.bands == 1 ? "" : "s",
                     type_text(image.dtype));
}

}  // namespace

TrainingFacts check_for_training(const Dataset& data, TrainingChecks checks) {
  TrainingFacts facts;
  std::vector<const Sample*> all;
  for (const Split& split : data.splits)
    if (split.name != "test")
      for (const Sample& sample : split.samples) all.push_back(&sample);
  std::vector<ImageInfo> images(all.size());
  for_each_sample(static_cast<std::int64_t>(all.size()), checks.threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    images[at] = probe_image(all[at]->image, {.keep_alpha = checks.in_channels == 4});
    // A JPEG label is refused, or thresholded, where its pixels are read.
    const ImageInfo label =
        probe_image(all[at]->label, {.purpose = Purpose::label, .label_threshold = 128.0});
    check_label_size(*all[at], images[at].height, images[at].width, label.height, label.width);
  });
  for (std::size_t i = 0; i < images.size(); ++i) {
    if (!alike(images[i], images[0], checks.in_channels))
      throw Error(ExitCode::dataset,
                  images[i].dtype == images[0].dtype ? "mixed-bands" : "mixed-types",
                  fmt::format("{}: {}, but {}: {}", name_of(all[i]->image), kind_text(images[i]),
                              name_of(all[0]->image), kind_text(images[0])),
                  "a model reads one number of bands and one range of values",
                  "convert the images to one kind; fjord-data check lists them all");
    ++facts.sizes[size_text(images[i].height, images[i].width)];
    facts.turned += images[i].orientation != 1;
  }
  if (!images.empty()) facts.bands = images[0].bands, facts.dtype = images[0].dtype;
  if (const auto leaks = find_leaks(data); !leaks.empty()) throw_fault(leaks.front());
  return facts;
}

}  // namespace fjord

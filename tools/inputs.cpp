// The images that a command line names.
#include "tools/inputs.h"

#include <glob.h>

#include <map>

#include "data/files.h"

namespace fjord {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const std::string& name, std::string_view why) {
  throw Error(ExitCode::dataset, "no-images", printable(name), why,
              "name image files, folders of them, or a pattern in quotes");
}

std::vector<fs::path> images_in(const fs::path& folder) {
  std::vector<Fault> faults;
  std::vector<fs::path> images;
  for (const FileEntry& file : list_files(folder, faults))
    if (file.regular && has_image_extension(file.path)) images.push_back(file.path);
  if (!faults.empty()) throw_fault(faults.front());
  if (images.empty()) refuse(folder.string(), "holds no image");
  return images;
}

std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> images;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
    for (std::size_t i = 0; i < found.gl_pathc; ++i)
      if (fs::is_regular_file(found.gl_pathv[i]) && has_image_extension(found.gl_pathv[i]))
        images.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  return images;
}

}  // namespace

std::vector<fs::path> find_images(const std::vector<std::string>& names) {
  std::vector<fs::path> images;
  for (const std::string& name : names) {
    std::error_code ignored;
    std::vector<fs::path> found;
    if (fs::is_directory(name, ignored))
      found = images_in(name);
    else if (fs::exists(name, ignored))
      found = {name};
    else
      found = matches_of(name);
    if (found.empty()) refuse(name, "there is no such file, folder or match");
    images.insert(images.end(), found.begin(), found.end());
  }
  std::map<std::string, fs::path> by_stem;
  for (const fs::path& image : images) {
    const auto [row, fresh] = by_stem.emplace(image.stem().string(), image);
    if (!fresh)
      throw Error(
          ExitCode::usage, "same-name", printable(image.string()),
          fmt::format("and {} would be written to one file", printable(row->second.string())),
          "predict them into two folders by --output");
  }
  return images;
}

void refuse_folder_of(const std::vector<fs::path>& images, const fs::path& output) {
  for (const fs::path& image : images) {
    const fs::path folder = fs::absolute(image).parent_path();
    for (const fs::path& own : {folder, folder / "../labels", folder / "../masks"}) {
      std::error_code ignored;
      if (fs::equivalent(own, output, ignored))
        throw Error(ExitCode::usage, "output-folder", "--output " + printable(output.string()),
                    own == folder ? "the images are there, and results could replace them"
                                  : "the images' labels are there, and results could replace them",
                    "give another folder with --output");
    }
  }
}

}  // namespace fjord

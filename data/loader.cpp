// The loader's threads: samples are claimed in order, written into a ring of batches, and handed
// out in order.
#include "data/loader.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <utility>

#include "data/sample_cache.h"

namespace fjord {

namespace {

struct Slot {
  Batch batch;
  std::vector<float> images;
  std::vector<std::uint8_t> labels;
  std::int64_t unfinished = 0;
  std::int64_t failed_at = 0;  // the lowest place in the batch that failed
  std::exception_ptr failure;
};

std::size_t read_limit(const char* file) {
  std::ifstream stream(file);
  std::size_t bytes = 0;
  return stream >> bytes ? bytes : ~std::size_t{0};  // "max" is no number
}

Shape frame_of(const std::vector<Sample>& samples, const LoaderOptions& options) {
  Shape shape{1, options.framing.height, options.framing.width, options.normalization.channels()};
  if (options.framing.crops() && !options.framing.resizes())
    shape.h = options.framing.crop_height, shape.w = options.framing.crop_width;
  if (shape.h == 0) {
    const ImageInfo info = probe_image(samples.front().image, {.keep_alpha = shape.c == 4});
    shape.h = info.height, shape.w = info.width;
  }
  return shape;
}

}  // namespace

std::size_t default_cache_bytes() {
  const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES));
  const auto memory = std::min({pages * static_cast<std::size_t>(::sysconf(_SC_PAGE_SIZE)),
                                read_limit("/sys/fs/cgroup/memory.max"),
                                read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
  return memory / 4;
}

std::vector<std::int64_t> epoch_order(std::int64_t samples, Order order, std::uint64_t seed,
                                      std::int64_t epoch) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(samples));
  std::iota(indices.begin(), indices.end(), 0);
  if (order == Order::sorted) return indices;
  for (std::int64_t i = samples - 1; i > 0; --i) {
    const RandomWords words = Philox{seed}.draw(Draw::shuffle, static_cast<std::uint32_t>(epoch), 0,
                                                static_cast<std::uint32_t>(i / 4));
    std::swap(indices[static_cast<std::size_t>(i)],
              indices[static_cast<std::size_t>(uniform_int(words[static_cast<int>(i % 4)], 0, i))]);
  }
  return indices;
}

struct Loader::Work {
  Work(std::vector<Sample> all, LoaderOptions given)
      : samples(std::move(all)),
        options(std::move(given)),
        shape(frame_of(samples, options)),
        scale(options.normalization.scale()),
        offset(options.normalization.offset()),
        cache(samples.size(), options.cache_bytes),
        ring(static_cast<std::size_t>(std::max<std::int64_t>(1, options.prefetch))) {
    const auto count = static_cast<std::int64_t>(samples.size());
    batches = options.last_batch == LastBatch::drop ? count / options.batch
                                                    : (count + options.batch - 1) / options.batch;
    if (options.augment == AugmentPolicy::standard && shape.c != 3)
      note("colour augmentation is off: it needs red, green and blue bands alone");
  }

  void note(const std::string& text) {
    const std::scoped_lock lock(notes_mutex);
    if (said.insert(text).second) notes.push_back(text);
  }

  std::shared_ptr<const DecodedSample> decoded(std::int64_t index);
  void make(std::int64_t index, std::int64_t epoch, float* image, std::uint8_t* label);
  void check_native_size(const DecodedSample& sample, std::int64_t index) const;
  Slot& claim(std::int64_t& place);
  void run(std::stop_token stop);

  const std::vector<Sample> samples;
  const LoaderOptions options;
  const Shape shape;
  std::vector<float> scale, offset;
  SampleCache cache;
  std::int64_t batches = 0;

  std::mutex mutex;
  std::condition_variable_any to_workers, to_consumer;
  std::vector<Slot> ring;
  std::int64_t consumed = 0;  // batches handed out, counted over all epochs
  std::int64_t claimed_batch = 0, claimed_place = 0;
  std::int64_t active = 0;  // samples being made
  bool paused = false;
  std::int64_t order_epoch = -1;
  std::vector<std::int64_t> order;

  std::mutex notes_mutex;
  std::set<std::string> said;
  std::vector<std::string> notes;
  std::vector<std::jthread> threads;
};

void Loader::Work::check_native_size(const DecodedSample& sample, std::int64_t index) const {
  if (options.framing.resizes() || options.framing.crops()) return;
  if (sample.image.height == shape.h && sample.image.width == shape.w) return;
  throw Error(ExitCode::dataset, "image-size",
              fmt::format("{}: {}x{}, but {} is {}x{}",
                          printable(samples[static_cast<std::size_t>(index)].image.native()),
                          sample.image.width, sample.image.height,
                          printable(samples.front().image.native()), shape.w, shape.h),
              "with --size 0 all images have one size", "use --size 512 or --crop 256");
}

std::shared_ptr<const DecodedSample> Loader::Work::decoded(std::int64_t index) {
  if (auto kept = cache.find(index)) return kept;
  std::vector<std::string> said_now;
  const auto sample = std::make_shared<DecodedSample>(
      read_sample(samples[static_cast<std::size_t>(index)], options.labels, options.framing,
                  static_cast<int>(shape.c), said_now));
  for (const std::string& text : said_now) note(text);
  check_native_size(*sample, index);
  cache.keep(index, sample);
  return sample;
}

void Loader::Work::make(std::int64_t index, std::int64_t epoch, float* image, std::uint8_t* label) {
  const auto sample = decoded(index);
  const Shape source{1, sample->image.height, sample->image.width, shape.c};
  AugmentSample drawn = draw_augmentation(
      {options.seed}, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index),
      {.height = shape.h,
       .width = shape.w,
       .source_height = source.h,
       .source_width = source.w,
       .policy = options.augment,
       .rgb = sample->rgb,
       .random_crop = options.order == Order::shuffled || options.augment != AugmentPolicy::none});

  // Kernels take mutable buffers for outputs and inputs alike; inputs are read only.
  const auto view = [](Shape s, DType type, const void* data) {
    return Buffer{"", s, type, const_cast<void*>(data)};
  };
  const Buffer x = view(source, sample->image.dtype, sample->image.pixels.data());
  const Buffer classes = view({1, source.h, source.w, 1}, DType::u8, sample->classes.data());
  const Buffer drawn_bytes = view({1, 1, 1, sizeof drawn}, DType::u8, &drawn);
  const Buffer scales = view({1, 1, 1, shape.c}, DType::f32, scale.data());
  const Buffer offsets = view({1, 1, 1, shape.c}, DType::f32, offset.data());
  Buffer y = view(shape, DType::f32, image);
  Buffer y_label = view({1, shape.h, shape.w, 1}, DType::u8, label);
  Stream stream;
  augment_image({&x}, {&drawn_bytes}, {&scales}, {&offsets}, {&y},
                {.range = static_cast<float>(options.normalization.range)}, stream);
  augment_label({&classes}, {&drawn_bytes}, {&y_label}, {.outside = options.labels.outside()},
                stream);
}

// The next sample in order; the lock is held. Opens the slot of a batch at its first sample.
Slot& Loader::Work::claim(std::int64_t& place) {
  Slot& slot = ring[static_cast<std::size_t>(claimed_batch) % ring.size()];
  place = claimed_place;
  if (place == 0) {
    const std::int64_t epoch = claimed_batch / batches, step = claimed_batch % batches;
    const auto total = static_cast<std::int64_t>(samples.size());
    if (epoch != order_epoch) order = epoch_order(total, options.order, options.seed, epoch);
    order_epoch = epoch;
    const std::int64_t begin = step * options.batch, end = std::min(begin + options.batch, total);
    slot.batch = {epoch, step, end - begin, {order.begin() + begin, order.begin() + end}};
    slot.unfinished = end - begin;
    slot.failure = nullptr;
    slot.failed_at = end - begin;
    slot.images.resize(static_cast<std::size_t>(options.batch * shape.count()));
    slot.labels.resize(static_cast<std::size_t>(options.batch * shape.pixels()));
  }
  if (++claimed_place == slot.batch.count) ++claimed_batch, claimed_place = 0;
  ++active;
  return slot;
}

void Loader::Work::run(std::stop_token stop) {
  std::unique_lock lock(mutex);
  while (true) {
    const auto free = [&] {
      return !paused && claimed_batch < consumed + static_cast<std::int64_t>(ring.size());
    };
    if (!to_workers.wait(lock, stop, free)) return;
    std::int64_t place = 0;
    Slot& slot = claim(place);
    const std::int64_t index = slot.batch.samples[static_cast<std::size_t>(place)];
    const std::int64_t epoch = slot.batch.epoch;
    lock.unlock();
    std::exception_ptr failure;
    try {
      make(index, epoch, slot.images.data() + place * shape.count(),
           slot.labels.data() + place * shape.pixels());
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && place < slot.failed_at) slot.failed_at = place, slot.failure = failure;
    --slot.unfinished;
    --active;
    to_consumer.notify_all();
  }
}

Loader::Loader(std::vector<Sample> samples, LoaderOptions options) {
  enable_cpu_augment();
  check(options.batch > 0 && options.threads > 0, "Loader",
        "expects a batch and threads above 0, got {} and {}", options.batch, options.threads);
  const auto count = static_cast<std::int64_t>(samples.size());
  if (count == 0)
    throw Error(ExitCode::dataset, "no-images", "an empty split", "there is nothing to read",
                "add images and labels");
  if (options.last_batch == LastBatch::drop && count < options.batch)
    throw Error(
        ExitCode::dataset, "too-few",
        fmt::format("{}: {} training pairs, fewer than a batch of {}",
                    printable(samples.front().image.parent_path().native()), count, options.batch),
        "an epoch's last incomplete batch is dropped, so nothing would be left",
        fmt::format("use --batch {}", count));
  work_ = std::make_unique<Work>(std::move(samples), std::move(options));
  for (int t = 0; t < work_->options.threads; ++t)
    work_->threads.emplace_back([work = work_.get()](std::stop_token stop) { work->run(stop); });
}

Loader::~Loader() {
  if (work_) work_->threads.clear();  // stops and joins while everything else still lives
}

std::int64_t Loader::batches() const { return work_->batches; }
std::int64_t Loader::samples() const { return static_cast<std::int64_t>(work_->samples.size()); }
Shape Loader::sample_shape() const { return work_->shape; }
std::size_t Loader::cached_bytes() const { return work_->cache.bytes(); }

void Loader::start(std::int64_t epoch, std::int64_t step) {
  Work& work = *work_;
  check(epoch >= 0 && step >= 0 && step <= work.batches, "Loader::start",
        "expects a step of 0..{}, got epoch {} step {}", work.batches, epoch, step);
  std::unique_lock lock(work.mutex);
  work.paused = true;
  work.to_consumer.wait(lock, [&] { return work.active == 0; });
  work.consumed = work.claimed_batch = epoch * work.batches + step;
  work.claimed_place = 0;
  for (Slot& slot : work.ring) slot.batch.count = 0;
  work.paused = false;
  work.to_workers.notify_all();
}

Batch Loader::next(float* images, std::uint8_t* labels) {
  Work& work = *work_;
  std::unique_lock lock(work.mutex);
  Slot& slot = work.ring[static_cast<std::size_t>(work.consumed) % work.ring.size()];
  const std::int64_t epoch = work.consumed / work.batches, step = work.consumed % work.batches;
  work.to_consumer.wait(lock, [&] {
    return slot.batch.count > 0 && slot.batch.epoch == epoch && slot.batch.step == step &&
           slot.unfinished == 0;
  });
  if (slot.failure) std::rethrow_exception(slot.failure);
  lock.unlock();  // the slot stays this batch's until it is counted as consumed
  const auto count = static_cast<std::size_t>(slot.batch.count);
  std::memcpy(images, slot.images.data(),
              count * static_cast<std::size_t>(work.shape.count()) * sizeof(float));
  std::memcpy(labels, slot.labels.data(), count * static_cast<std::size_t>(work.shape.pixels()));
  const Batch batch = slot.batch;
  lock.lock();
  ++work.consumed;
  work.to_workers.notify_all();
  return batch;
}

std::vector<std::string> Loader::take_notes() {
  const std::scoped_lock lock(work_->notes_mutex);
  return std::exchange(work_->notes, {});
}

}  // namespace fjord

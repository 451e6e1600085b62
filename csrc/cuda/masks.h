// Which slots of a group take part in a step: decided on the host, uploaded when it changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/arrays.h"

namespace secousti::core::cuda {

class SlotMasks {
  public:
    /// `count` masks of `slots` bytes, all zero.
    SlotMasks(const CudaQueue& queue, int count, int slots)
        : slots_(static_cast<std::size_t>(slots)),
          device_(queue, static_cast<std::size_t>(count) * slots_, "masks of a group"),
          pinned_(device_.bytes()),
          planned_(device_.bytes()) {
        upload(queue);
    }

    /// A slot's place in the next step. Values set here count from the next upload on.
    bool at(int mask, std::size_t slot) const noexcept { return planned_[index(mask, slot)] != 0; }
    void set(int mask, std::size_t slot, bool value) noexcept {
        std::uint8_t& byte = planned_[index(mask, slot)];
        const std::uint8_t wanted = value ? 1 : 0;
        changed_ = changed_ || byte != wanted;
        byte = wanted;
    }
    void clear() noexcept {
        for (std::uint8_t& byte : planned_) {
            changed_ = changed_ || byte != 0;
            byte = 0;
        }
    }
    void upload_changes(const CudaQueue& queue) {
        if (changed_) upload(queue);
    }
    /// [slots], device memory.
    const std::uint8_t* data(int mask) const noexcept { return device_.data() + index(mask, 0); }

  private:
    std::size_t index(int mask, std::size_t slot) const noexcept {
        return static_cast<std::size_t>(mask) * slots_ + slot;
    }
    void upload(const CudaQueue& queue) {
        if (in_use_) read_.synchronize();  // the copy before this one still reads the pinned memory
        std::memcpy(pinned_.as<std::uint8_t>(), planned_.data(), planned_.size());
        queue.copy_to_device(device_.data(), pinned_.as<std::uint8_t>(), device_.bytes());
        read_.record(queue);
        in_use_ = true;
        changed_ = false;
    }

    std::size_t slots_;
    DeviceArray<std::uint8_t> device_;
    PinnedBuffer pinned_;
    std::vector<std::uint8_t> planned_;
    Event read_;
    bool changed_ = false, in_use_ = false;
};

/// Keeps the work of one group in order although it may come through different streams: the group's own and its
/// callers'.
class StreamOrder {
  public:
    /// What `stream` is given from now on comes after the work before the last `leave`.
    void enter(const CudaQueue& queue) const {
        if (left_) last_.make_wait(queue);
    }
    /// After the work given to a caller's stream.
    void leave(const CudaQueue& queue) {
        last_.record(queue);
        left_ = true;
    }

  private:
    Event last_;
    bool left_ = false;
};

}  // namespace secousti::core::cuda

#pragma once
// Internal: what moves bytes between the ranks of a job. It adds nothing: sums are ours, in an order of ours
// (runtime/comm/tree_sum.h), so that no library's order enters the bits.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "runtime/device.h"

namespace demi {

struct Piece {
    void* data = nullptr;
    size_t bytes = 0;
};

// A transfer under way. wait() throws Error where it cannot end: the memory must live until then.
class Transfer {
  public:
    virtual ~Transfer() = default;
    virtual void wait() = 0;
};

class CommEngine {
  public:
    virtual ~CommEngine() = default;
    virtual const char* name() const = 0;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual int local_size() const = 0;  // ranks on this machine
    virtual const std::string& host(int rank) const = 0;
    virtual void say_failed() {}                    // to the others: this rank ends the job
    virtual int heard_failed() { return -1; }       // the rank that said so
    virtual bool reaches(Device device) const = 0;  // whether it reads and writes that memory itself
    // Sends sends[r] to every rank r and receives receives[r] from it. Both lists have size() pieces, those of
    // this rank are not looked at; what one side sends the other must expect. All ranks start the same transfers
    // in the same order.
    virtual std::unique_ptr<Transfer> exchange(const std::vector<Piece>& sends,
                                               const std::vector<Piece>& receives, Device device) = 0;
};

}  // namespace demi

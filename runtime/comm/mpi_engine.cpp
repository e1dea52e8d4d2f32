#include "runtime/comm/mpi_engine.h"

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "runtime/check.h"
#include "runtime/comm/job.h"

namespace demi {
namespace {

using Clock = std::chrono::steady_clock;

void check_mpi(int status, const char* what) {
    if (status == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(status, text, &length);
    fail("comm", what, ": ", std::string(text, static_cast<size_t>(length)));
}

// Who a rank is. A process of the same machine and the same table of processes can be looked for.
struct Card {
    char host[256], machine[256];
    int64_t process;
};

Card own_card() {
    Card card = {};
    gethostname(card.host, sizeof card.host - 1);
    card.process = getpid();
    std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "r");
    char* to = card.machine;
    if (file != nullptr) {
        to += std::fread(to, 1, 40, file);
        std::fclose(file);
    }
    const ssize_t length = readlink("/proc/self/ns/pid", to, 100);
    if (file == nullptr || length <= 0) card.machine[0] = '\0';
    return card;
}

constexpr int kFailedTag = 16384;  // above those of transfers

class MpiEngine final : public CommEngine {
  public:
    explicit MpiEngine(double timeout) : timeout_(timeout) {
        check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
        MPI_Comm_rank(comm_, &rank_);
        MPI_Comm_size(comm_, &size_);
        MPI_Comm local;
        check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local),
                  "MPI_Comm_split_type");
        MPI_Comm_size(local, &local_size_);
        MPI_Comm_free(&local);
        const Card own = own_card();
        std::vector<Card> all(static_cast<size_t>(size_));
        check_mpi(MPI_Allgather(&own, sizeof own, MPI_BYTE, all.data(), sizeof own, MPI_BYTE, comm_),
                  "MPI_Allgather");
        for (const Card& card : all) {
            hosts_.emplace_back(card.host);
            const bool near = own.machine[0] != '\0' && std::string(own.machine) == card.machine;
            processes_.push_back(near ? card.process : 0);
        }
    }
    ~MpiEngine() override {
        int over = 0;
        MPI_Finalized(&over);
        if (over == 0) MPI_Comm_free(&comm_);
    }

    const char* name() const override { return "mpi"; }
    int rank() const override { return rank_; }
    int size() const override { return size_; }
    int local_size() const override { return local_size_; }
    const std::string& host(int rank) const override { return hosts_[static_cast<size_t>(rank)]; }
    bool reaches(Device device) const override { return device.is_cpu(); }
    std::unique_ptr<Transfer> exchange(const std::vector<Piece>& sends, const std::vector<Piece>& receives,
                                       Device device) override;

    void say_failed() override;
    int heard_failed() override;

    // A rank that will not answer any more, or -1.
    int gone() const {
        for (size_t r = 0; r < processes_.size(); ++r)
            if (processes_[r] > 0 && kill(static_cast<pid_t>(processes_[r]), 0) != 0 && errno == ESRCH)
                return static_cast<int>(r);
        return -1;
    }
    std::string who(int rank) const { return "rank " + std::to_string(rank) + " on " + host(rank); }
    double timeout() const { return timeout_; }

  private:
    double timeout_;
    MPI_Comm comm_ = MPI_COMM_NULL;
    int rank_ = 0, size_ = 1, local_size_ = 1, tag_ = 0, failed_ = -1;
    std::vector<std::string> hosts_;
    std::vector<int64_t> processes_;  // of this machine; 0 elsewhere
};

// What is under way, and with whom.
class MpiTransfer final : public Transfer {
  public:
    explicit MpiTransfer(MpiEngine& engine) : engine_(engine) {}
    ~MpiTransfer() override {
        for (MPI_Request& request : requests_)  // after an Error the job ends: nothing is waited for
            if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
    }
    MPI_Request* add(int peer, int bytes, bool receives) {
        peers_.push_back(peer);
        bytes_.push_back(receives ? bytes : -1);
        requests_.push_back(MPI_REQUEST_NULL);
        return &requests_.back();
    }
    void reserve(size_t count) { requests_.reserve(count); }
    void wait() override;

  private:
    [[noreturn]] void give_up() const;
    void look_for_the_others() const;
    [[noreturn]] void broke(size_t request, int status) const;

    MpiEngine& engine_;
    std::vector<MPI_Request> requests_;
    std::vector<int> peers_, bytes_;
};

void MpiTransfer::wait() {
    std::vector<MPI_Status> statuses(requests_.size());
    const auto count = static_cast<int>(requests_.size());
    const auto start = Clock::now();
    double looked = 0;
    for (int64_t turn = 0;; ++turn) {
        int done = 0;
        const int status = MPI_Testall(count, requests_.data(), &done, statuses.data());
        for (size_t i = 0; status == MPI_ERR_IN_STATUS && i < statuses.size(); ++i)
            if (statuses[i].MPI_ERROR != MPI_SUCCESS && statuses[i].MPI_ERROR != MPI_ERR_PENDING)
                broke(i, statuses[i].MPI_ERROR);
        check_mpi(status, "a transfer failed");
        if (done != 0) break;
        const double waited = std::chrono::duration<double>(Clock::now() - start).count();
        if (waited - looked > 0.1) {
            look_for_the_others();
            looked = waited;
        }
        if (waited > engine_.timeout()) give_up();
        // First at once, for the others are mostly about to come; then without taking their processor.
        if (waited < 0.002)
            sched_yield();
        else
            usleep(waited < 0.1 ? 50 : 500);
    }
    for (size_t i = 0; i < statuses.size(); ++i) {
        int got = 0;
        if (bytes_[i] < 0) continue;
        MPI_Get_count(&statuses[i], MPI_BYTE, &got);
        if (got != bytes_[i]) broke(i, MPI_ERR_TRUNCATE);
    }
}

void MpiTransfer::broke(size_t request, int status) const {
    int kind = status;
    MPI_Error_class(status, &kind);
    const std::string self = engine_.who(engine_.rank()), peer = engine_.who(peers_[request]);
    check(kind != MPI_ERR_TRUNCATE, "comm", self, " needs ", bytes_[request], " bytes from ", peer,
          ", another number came: the ranks are not at the same call");
    check_mpi(status, ("the transfer between " + self + " and " + peer + " failed").c_str());
    fail("comm", "the transfer between ", self, " and ", peer, " failed");
}

void MpiTransfer::look_for_the_others() const {
    const int failed = engine_.heard_failed(), gone = failed < 0 ? engine_.gone() : -1;
    if (failed >= 0) fail("comm", engine_.who(failed), " has failed");
    if (gone >= 0) fail("comm", engine_.who(gone), " has ended, was killed or has crashed");
}

void MpiEngine::say_failed() {
    static char nothing;
    MPI_Request request;  // not waited for: it is small, and the process is about to end
    for (int r = 0; r < size_; ++r)
        if (r != rank_) MPI_Isend(&nothing, 0, MPI_BYTE, r, kFailedTag, comm_, &request);
}

int MpiEngine::heard_failed() {
    // An MPI may look at what it has before it looks at what comes: more than once.
    for (int turn = 0; turn < 4 && failed_ < 0; ++turn) {
        int heard = 0;
        MPI_Status status;
        MPI_Iprobe(MPI_ANY_SOURCE, kFailedTag, comm_, &heard, &status);
        if (heard != 0) failed_ = status.MPI_SOURCE;
    }
    return failed_;
}

void MpiTransfer::give_up() const {
    std::string missing;
    std::vector<int> named;
    for (size_t i = 0; i < requests_.size(); ++i) {
        int done = 0;
        MPI_Request_get_status(requests_[i], &done, MPI_STATUS_IGNORE);
        if (done != 0 || std::find(named.begin(), named.end(), peers_[i]) != named.end()) continue;
        named.push_back(peers_[i]);
        missing += (missing.empty() ? "" : ", ") + engine_.who(peers_[i]);
    }
    fail("comm", engine_.who(engine_.rank()), " has waited ", engine_.timeout(), " s for ", missing);
}

std::unique_ptr<Transfer> MpiEngine::exchange(const std::vector<Piece>& sends,
                                              const std::vector<Piece>& receives, Device) {
    constexpr size_t kMost = size_t{1} << 30;  // bytes in a message: MPI counts in int
    auto transfer = std::make_unique<MpiTransfer>(*this);
    size_t messages = 0;
    for (int r = 0; r < size_; ++r)
        messages +=
            (sends[static_cast<size_t>(r)].bytes + receives[static_cast<size_t>(r)].bytes) / kMost + 2;
    transfer->reserve(messages);  // MPI keeps the addresses of requests
    tag_ = (tag_ + 1) % 16384;
    const auto start = [&](const Piece& piece, int peer, bool receive) {
        for (size_t at = 0; at < piece.bytes; at += kMost) {
            const auto bytes = static_cast<int>(std::min(kMost, piece.bytes - at));
            char* data = static_cast<char*>(piece.data) + at;
            MPI_Request* request = transfer->add(peer, bytes, receive);
            check_mpi(receive ? MPI_Irecv(data, bytes, MPI_BYTE, peer, tag_, comm_, request)
                              : MPI_Isend(data, bytes, MPI_BYTE, peer, tag_, comm_, request),
                      receive ? "MPI_Irecv" : "MPI_Isend");
        }
    };
    // Nearest neighbours first, so that not all ranks begin with the same one.
    for (int step = 1; step < size_; ++step) {
        const int from = (rank_ + size_ - step) % size_;
        start(receives[static_cast<size_t>(from)], from, true);
    }
    for (int step = 1; step < size_; ++step) {
        const int to = (rank_ + step) % size_;
        start(sends[static_cast<size_t>(to)], to, false);
    }
    return transfer;
}

}  // namespace

bool built_with_mpi() { return true; }

void start_mpi() {
    int running = 0, level = 0;
    MPI_Initialized(&running);
    if (running == 0) check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init");
}

void finish_mpi() {
    int over = 0;
    MPI_Finalized(&over);
    if (over == 0) MPI_Finalize();
}

void abort_mpi(int status) {
    signal(SIGALRM, SIG_DFL);  // where the launcher does not answer
    alarm(5);
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
}

std::shared_ptr<CommEngine> mpi_engine(double timeout) { return std::make_shared<MpiEngine>(timeout); }

}  // namespace demi

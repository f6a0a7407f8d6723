-- The sweep gives each lane a share of its own, so that a lost doorbell in `urgent` does not wait behind a million rows of
-- `bulk`: the lane has to stand before the time in the index that it reads.
ALTER TABLE email
    ADD KEY email_state_lane_due_at (state, lane, due_at),
    DROP KEY email_state_due_at;

-- What the server said as it took a message: whoever asks its operators after the mail can quote it.
ALTER TABLE messages ADD COLUMN sent_answer text;

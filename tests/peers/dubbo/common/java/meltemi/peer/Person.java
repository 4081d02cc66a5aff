package meltemi.peer;

import java.io.Serializable;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A plain object with nested collections and, possibly, a reference to itself. */
public class Person implements Serializable {
    private static final long serialVersionUID = 1L;

    private String name;
    private int age;
    private List<String> tags;
    private Map<String, Long> scores;
    private Person friend;

    public Person() {}

    public Person(String name, int age, List<String> tags, Map<String, Long> scores) {
        this.name = name;
        this.age = age;
        this.tags = tags;
        this.scores = scores;
    }

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    public int getAge() {
        return age;
    }

    public void setAge(int age) {
        this.age = age;
    }

    public List<String> getTags() {
        return tags;
    }

    public void setTags(List<String> tags) {
        this.tags = tags;
    }

    public Map<String, Long> getScores() {
        return scores;
    }

    public void setScores(Map<String, Long> scores) {
        this.scores = scores;
    }

    public Person getFriend() {
        return friend;
    }

    public void setFriend(Person friend) {
        this.friend = friend;
    }

    /** Equal by value; a friend counts by name, for friendship may be circular. */
    @Override
    public boolean equals(Object other) {
        return other instanceof Person that
                && Objects.equals(name, that.name)
                && age == that.age
                && Objects.equals(tags, that.tags)
                && Objects.equals(scores, that.scores)
                && Objects.equals(friendName(), that.friendName());
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, age);
    }

    @Override
    public String toString() {
        return "Person(" + name + ", " + age + ", " + tags + ", " + scores + ", " + friendName() + ")";
    }

    private String friendName() {
        return friend == null ? null : friend.name;
    }
}
